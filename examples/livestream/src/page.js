// ---- what comes from the server: five snapshots a second, drawn when the browser is ready for it

let latest = null, drawn = null, frame = 0, chartAt = 0;
const source = new EventSource('snapshots');
source.onmessage = message => {
  latest = JSON.parse(message.data);
  if (latest.uptime < drawn?.uptime) return location.reload(); // another run of the program
  collect(latest.events);
  frame ||= requestAnimationFrame(draw);
  if (latest.phase === 'ended') source.close(), document.querySelectorAll('button').forEach(button => button.disabled = true);
};
source.onerror = () => {
  if (latest?.phase === 'ended') return;
  pill('phase', 'connection lost', 'bad');
  notice('The program does not answer. If it still runs, this page comes back by itself.');
};

function draw() {
  frame = 0;
  const now = latest;
  drawHead(now);
  drawWay(now);
  if (now.uptime - chartAt >= 1) drawChart(now);
  drawModes(now);
  drawFleet(now.service.fleet);
  drawSums(now);
  drawViewers(now);
  drawFeed(now);
  announce(drawn, now);
  drawn = now;
}

function drawHead({ phase, uptime, stream, report }) {
  const phases = { joining: ['consumer groups form', ''], live: ['live', 'good'], draining: ['draining', 'held'], ended: ['ended', ''] };
  pill('phase', ...phases[phase]);
  set('uptime', clock(uptime));
  if (phase === 'ended') {
    notice(!report ? 'The program has ended.' :
      `The stream is over. Sent ${number(report.sent)}, scored ${number(report.scored)}, replies ${number(report.replies)}, lost ${number(report.lost)}.`);
  } else if (phase === 'draining') notice('The stream is over; what is left is being scored and brought back.');
  else if (phase === 'joining') notice('Kafka forms the consumer groups, which takes about three seconds; then the stream begins.');
  else if (stream.waiting) notice('The stream waits: the embedded Kafka keeps a few megabytes only, and what is unread would be lost. A real one keeps days.');
  else notice('');
}

function drawWay({ stream, lanes, service, results }) {
  set('stream-rate', stream.rate);
  set('stream-sent', stream.sent);
  set('stream-viewers', stream.viewers);
  pill('mood', stream.waiting ? 'waits' : stream.surging ? 'surge' : 'calm', stream.waiting || stream.surging ? 'held' : '');
  set('unread', stream.unread);
  set('in-hand', lanes.in_hand);
  set('in-flight', lanes.in_flight);
  pill('held-pill', lanes.held ? `${number(lanes.held)} ${lanes.held === 1 ? 'lane' : 'lanes'} held` : 'no lane held', lanes.held ? 'held' : '');
  const { mode } = service.behaviour, ready = service.fleet.workers.filter(worker => worker.state === 'ready').length;
  pill('mode-pill', mode === 'failing' ? 'failing for one' : mode, mode === 'normal' ? 'good' : 'held');
  set('worker-count', ready);
  set('worker-word', ready === 1 ? 'worker' : 'workers');
  set('busy', service.fleet.busy);
  set('queued', service.fleet.waiting);
  set('back-rate', results.rate);
  set('age', time(results.latency?.[0]));
  set('age99', time(results.latency?.[1]));
  document.querySelectorAll('.arrow').forEach((arrow, at) => arrow.classList.toggle('still', !(at === 2 ? results.rate : stream.rate)));
}

function drawChart({ history, uptime }) {
  chartAt = uptime;
  const { sent, back, workers } = history;
  const top = topOf(...sent, ...back);
  drawLine('sent-line', sent, top);
  drawArea('sent-area', sent, top);
  drawLine('back-line', back, top);
  drawLine('worker-line', workers, Math.max(8, ...workers));
  set('scale', number(top) + '/s');
}

// ---- what is made to happen

const post = (path, body) => fetch(path, {
  method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body ?? {}),
}).catch(() => {});
const behave = behaviour => post('behaviour', behaviour);
const modes = document.querySelectorAll('[data-mode]');
modes.forEach(button => button.addEventListener('click', () => {
  const { mode } = button.dataset;
  behave(mode === 'slow' ? { mode, ms: 30 } : mode === 'failing' ? { mode, viewer: latest?.viewers[0]?.name } : { mode });
}));
$('surge').addEventListener('click', () => post('surge'));
$('kill').addEventListener('click', () => post('kill'));

function drawModes({ service, viewers }) {
  const { mode, viewer } = service.behaviour;
  for (const button of modes) button.setAttribute('aria-pressed', String(button.dataset.mode === mode));
  const row = viewers.find(row => row.name === viewer);
  set('story', {
    normal: 'A surge makes workers start, and they leave when it is over. What a killed worker was scoring is scored by another: in order, and once for all to see.',
    slow: 'Every answer takes 30 ms more. The workers are busy meanwhile, so more of them start; one viewer\'s events still go one after the other.',
    throttled: 'Beyond its quota it answers 429 and asks for two seconds of rest. It gets them; then the events come again, in order.',
    failing: `503 for ${viewer}, whose events wait in their lane${row ? ` (${number(row.waiting)} by now)` : ''}, in order. Nobody else does. Switch back to see them catch up.`,
  }[mode]);
}

// ---- workers

const boxes = new Map();
function drawFleet({ workers, counts }) {
  set('started', counts.started);
  set('drained', counts.drained);
  set('killed', counts.killed);
  const numbers = new Set(workers.map(worker => worker.number));
  for (const [number, box] of boxes) if (!numbers.has(number)) { box.remove(); boxes.delete(number); }
  for (const { number: n, state, busy, slots, scored } of workers) {
    let box = boxes.get(n);
    if (!box) {
      boxes.set(n, box = document.createElement('li'));
      box.innerHTML = '<b></b> <span class="soft"></span><div class="slots"></div><span class="soft"></span>';
      box.querySelector('.slots').append(...Array.from({ length: slots }, () => document.createElement('i')));
      $('fleet').append(box);
    }
    const [name, what, bars, count] = box.children;
    box.dataset.state = state;
    put(name, '#' + n);
    put(what, state);
    [...bars.children].forEach((bar, at) => bar.classList.toggle('busy', at < busy));
    put(count, number(scored) + ' scored');
  }
}

function drawSums({ stream, lanes, results, service }) {
  set('sent', stream.sent);
  set('scored', lanes.delivered);
  set('back', results.arrived);
  set('retried', lanes.retried);
  set('highlights', results.highlights);
  set('hidden', results.hidden);
  set('repeated', results.repeated);
  const broken = results.order_violations + service.order_violations;
  pill('violations', number(broken), broken ? 'bad' : 'good');
}

// ---- viewers: rows stay where they are, so that one can follow and click them

const rows = new Map();
function newRow(name) {
  const tr = document.createElement('tr');
  tr.dataset.viewer = name;
  tr.innerHTML = '<td><span class="dot"></span><span></span></td><td class="number"></td><td><div class="bar"><i></i><span class="soft"></span></div></td>' +
    '<td><span class="pill"></span></td><td class="number"></td><td class="number"></td><td><button type="button" aria-pressed="false"></button></td>';
  const [who, last, waiting, lane, p50, p99, action] = tr.children, button = action.firstChild;
  who.firstChild.style.background = colour(name);
  who.lastChild.textContent = name;
  button.addEventListener('click', () =>
    behave(button.getAttribute('aria-pressed') === 'true' ? { mode: 'normal' } : { mode: 'failing', viewer: name }));
  return { tr, last, bar: waiting.querySelector('i'), waiting: waiting.querySelector('span'), lane: lane.firstChild, p50, p99, button };
}

function drawViewers({ viewers, service, uptime }) {
  const names = new Set(viewers.map(viewer => viewer.name));
  for (const [name, row] of rows) if (!names.has(name)) { row.tr.remove(); rows.delete(name); }
  viewers.forEach((viewer, at) => {
    let row = rows.get(viewer.name);
    if (!row) rows.set(viewer.name, row = newRow(viewer.name));
    const body = $('viewers');
    if (body.children[at] !== row.tr) body.insertBefore(row.tr, body.children[at] ?? null);
    put(row.last, viewer.last ? '#' + number(viewer.last) : '–');
    // A thousand fill the bar; a few can still be seen.
    row.bar.style.width = viewer.waiting ? Math.min(60, 2 + 58 * Math.log10(1 + viewer.waiting) / 3) + '%' : '0';
    put(row.waiting, number(viewer.waiting));
    const { held } = viewer;
    row.tr.classList.toggle('is-held', !!held);
    row.tr.dataset.held = String(!!held);
    if (row.seen !== viewer.last || !viewer.waiting) [row.seen, row.since] = [viewer.last, uptime];
    const flows = uptime - row.since < 1;
    put(row.lane, held ? `held · ${held.reason.replace('status_', '')} · ${number(held.attempts)}×` : flows ? 'flowing' : 'waiting');
    row.lane.className = held ? 'pill held' : flows ? 'pill good' : 'pill';
    put(row.p50, time(viewer.latency?.[0]));
    put(row.p99, time(viewer.latency?.[1]));
    const failing = service.behaviour.viewer === viewer.name;
    row.button.setAttribute('aria-pressed', String(failing));
    put(row.button, failing ? 'let it pass' : 'make it fail');
    row.button.setAttribute('aria-label', (failing ? 'let pass: ' : 'make it fail: ') + viewer.name);
  });
}

// ---- the room: a few results of each snapshot, so that they can be read; comments and gifts first

const FEED = 30, PER_SNAPSHOT = 2;
let feed = [], lastSeen = 0;
function collect(events) {
  const fresh = events.filter(event => event.n > lastSeen);
  lastSeen = events.at(-1)?.n ?? lastSeen;
  if (isPaused()) return;
  const said = fresh.filter(event => event.kind !== 'like').slice(0, PER_SNAPSHOT);
  const likes = fresh.filter(event => event.kind === 'like').slice(0, PER_SNAPSHOT - said.length);
  feed.unshift(...[...said, ...likes].sort((one, other) => other.n - one.n));
  feed = feed.slice(0, FEED);
}
const isPaused = () => $('pause').getAttribute('aria-pressed') === 'true' || $('feed').matches(':hover, :focus');
$('pause').addEventListener('click', ({ currentTarget: button }) => {
  const paused = button.getAttribute('aria-pressed') === 'true';
  button.setAttribute('aria-pressed', String(!paused));
  put(button, paused ? 'Pause' : 'Go on');
});

function drawFeed({ results }) {
  put($('sampled'), results.rate > PER_SNAPSHOT * 5 ? '(a sample)' : '');
  const list = $('feed');
  if (list.firstChild?.n === feed[0]?.n) return;
  const shown = new Map([...list.children].map(li => [li.n, li]));
  list.replaceChildren(...feed.map(event => shown.get(event.n) ?? newItem(event)));
}

function newItem({ n, viewer, kind, text, sentiment, hidden, highlight, ms }) {
  const li = document.createElement('li');
  li.n = n;
  li.className = kind + (hidden ? ' hidden' : '');
  const what = document.createElement('div'), name = document.createElement('span');
  const score = document.createElement('span'), age = document.createElement('span');
  name.className = age.className = 'soft';
  name.textContent = viewer + ' ';
  score.className = 'pill ' + (hidden || sentiment < 0 ? 'bad' : highlight ? 'held' : sentiment > 0 ? 'good' : '');
  score.textContent = hidden ? 'hide' : highlight ?? (sentiment > 0 ? '+' : sentiment < 0 ? '−' : '') + Math.abs(sentiment).toFixed(2);
  age.textContent = time(ms);
  what.append(name, text);
  li.append(icon(kind), what, score, age);
  return li;
}

// ---- what is said aloud: changes, never numbers that run

function announce(before, now) {
  const { mode, viewer } = now.service.behaviour;
  const said = [];
  if (before && before.service.behaviour.mode !== mode) said.push(`The service is ${mode === 'failing' ? 'failing for ' + viewer : mode}.`);
  if (before && before.service.fleet.counts.killed < now.service.fleet.counts.killed) said.push('A worker was killed.');
  if (before?.phase !== now.phase) said.push($('phase').textContent + '.');
  if (said.length) put($('spoken'), said.join(' '));
}
