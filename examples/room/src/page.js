const $ = id => document.getElementById(id);
const grouped = new Intl.NumberFormat('en');
const number = n => grouped.format(n);
const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };
const set = (id, value) => put($(id), typeof value === 'number' ? number(value) : value);
const pill = (id, text, kind) => { const p = $(id); put(p, text); p.className = 'pill ' + kind; };
const icon = kind => {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS(svg.namespaceURI, 'use');
  svg.setAttribute('aria-hidden', 'true');
  use.setAttribute('href', '#i-' + kind);
  svg.append(use);
  return svg;
};

function notice(text) {
  put($('notice'), text);
  $('notice').hidden = !text;
}

// ---- a chart of the last minute, one value a second, in a box of 59 by 100
const topOf = (...values) => {
  const highest = Math.max(100, ...values), step = 10 ** Math.floor(Math.log10(highest));
  return Math.ceil(highest / step * 2) / 2 * step;
};
const points = (values, top) =>
  values.map((value, at) => `${59 - (values.length - 1) + at} ${(100 - value / top * 100).toFixed(1)}`).join('L');
const drawLine = (id, values, top) => $(id).setAttribute('d', values.length ? 'M' + points(values, top) : '');
const drawArea = (id, values, top) =>
  $(id).setAttribute('d', values.length ? `M${60 - values.length} 100L${points(values, top)}L59 100Z` : '');

// ---- times and colours
const time = ms => ms === undefined ? '–' : ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
const clock = seconds => Math.floor(seconds / 60) + ':' + String(Math.floor(seconds) % 60).padStart(2, '0');
const colour = name => {
  let hue = 0;
  for (const letter of name) hue = (hue * 31 + letter.codePointAt(0)) % 360;
  return `hsl(${hue} 60% 55%)`;
};
