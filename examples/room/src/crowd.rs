//! Who watches the live stream, and what they send: simulated, and the same for the same seed.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::{Deserialize, Serialize};

/// How unequal viewers are: the n-th sends in proportion to `1 / n^ZIPF`.
const ZIPF: f64 = 0.9;

const ADJECTIVES: [&str; 20] = [
    "amber", "bold", "calm", "clever", "cosmic", "dapper", "eager", "fuzzy", "gentle", "golden",
    "happy", "jolly", "lucky", "mellow", "nimble", "proud", "quiet", "sunny", "swift", "witty",
];
const ANIMALS: [&str; 20] = [
    "otter", "badger", "crane", "dolphin", "falcon", "gecko", "heron", "ibis", "jackal", "koala",
    "lemur", "marten", "newt", "owl", "panda", "quail", "raven", "seal", "tiger", "wombat",
];
const COMMENTS: [&str; 11] = [
    "hello from Lisbon!",
    "what a goal",
    "can you show that again?",
    "first time here, love it",
    "the sound is great today",
    "¡qué golazo!",
    "which camera is this?",
    "greetings to everybody",
    "the picture is lagging",
    "this half is boring",
    "free coins at http://spam.example",
];
const GIFTS: [(&str, u32); 4] = [
    ("rose", 1),
    ("balloon", 10),
    ("rocket", 100),
    ("castle", 1000),
];

/// The viewers, the busiest first, and how much each has sent.
#[derive(Debug)]
pub struct Audience(Vec<Viewer>);

#[derive(Debug)]
pub struct Viewer {
    pub name: String,
    sent: AtomicU64,
}

/// What a viewer sends: the value of a record, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interaction {
    pub viewer: String,
    /// Counts this viewer's interactions from 1: what order is checked by.
    pub seq: u64,
    #[serde(flatten)]
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Kind {
    Like,
    Comment { text: String },
    Gift { gift: String, coins: u32 },
}

/// Lets the viewers of an audience act, one after the other.
#[derive(Debug)]
pub struct Crowd {
    cumulative: Vec<f64>,
    random: fastrand::Rng,
}

impl Audience {
    pub fn new(viewers: usize) -> Self {
        let name = |n: usize| {
            let (lap, n) = (n / 400, n % 400);
            let adjective = ADJECTIVES[n * 7 % 20];
            let animal = ANIMALS[(n / 20 + n * 3) % 20];
            match lap {
                0 => format!("{adjective}-{animal}"),
                lap => format!("{adjective}-{animal}-{lap}"),
            }
        };
        let viewer = |n| Viewer {
            name: name(n),
            sent: AtomicU64::new(0),
        };
        Self((0..viewers).map(viewer).collect())
    }

    pub fn viewers(&self) -> &[Viewer] {
        &self.0
    }

    pub fn sent(&self) -> u64 {
        self.0.iter().map(Viewer::sent).sum()
    }
}

impl Viewer {
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }
}

impl Crowd {
    pub fn new(audience: &Audience, seed: u64) -> Self {
        let weights = (1..=audience.viewers().len()).map(|rank| (rank as f64).powf(-ZIPF));
        let cumulative = weights
            .scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        Self {
            cumulative,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// The next interaction. None without viewers.
    pub fn act(&mut self, audience: &Audience) -> Option<Interaction> {
        let point = self.random.f64() * self.cumulative.last()?;
        let at = self.cumulative.partition_point(|sum| *sum <= point);
        let viewer = audience.viewers().get(at)?;
        let random = &mut self.random;
        let kind = match random.u32(..100) {
            0..5 => {
                let (gift, coins) = GIFTS[random.usize(..GIFTS.len())];
                Kind::Gift {
                    gift: gift.to_owned(),
                    coins,
                }
            }
            5..30 => Kind::Comment {
                text: COMMENTS[random.usize(..COMMENTS.len())].to_owned(),
            },
            _ => Kind::Like,
        };
        Some(Interaction {
            viewer: viewer.name.clone(),
            seq: viewer.sent.fetch_add(1, Relaxed) + 1,
            kind,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Like => f.write_str("likes it"),
            Self::Comment { text } => write!(f, "“{text}”"),
            Self::Gift { gift, coins: 1 } => write!(f, "gives a {gift} (1 coin)"),
            Self::Gift { gift, coins } => write!(f, "gives a {gift} ({coins} coins)"),
        }
    }
}

impl Kind {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Like => "like",
            Self::Comment { .. } => "comment",
            Self::Gift { .. } => "gift",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn run(seed: u64) -> (Audience, Vec<Interaction>) {
        let audience = Audience::new(100);
        let mut crowd = Crowd::new(&audience, seed);
        let acts = (0..10_000).filter_map(|_| crowd.act(&audience)).collect();
        (audience, acts)
    }

    #[test]
    fn names_are_unique() {
        let audience = Audience::new(1000);
        let names: HashSet<_> = audience.viewers().iter().map(|v| &v.name).collect();
        assert_eq!(names.len(), 1000);
    }

    #[test]
    fn the_same_seed_gives_the_same_stream() {
        assert_eq!(run(7).1, run(7).1);
        assert_ne!(run(7).1, run(8).1);
    }

    #[test]
    fn every_viewer_counts_from_one_without_gaps() {
        let (audience, acts) = run(7);
        for viewer in audience.viewers() {
            let seqs = acts
                .iter()
                .filter(|act| act.viewer == viewer.name)
                .map(|act| act.seq);
            assert!(seqs.eq(1..=viewer.sent()), "{}", viewer.name);
        }
        assert_eq!(audience.sent(), 10_000);
    }

    #[test]
    fn few_viewers_send_much_and_many_send_little() {
        let (audience, _) = run(7);
        let sent: Vec<_> = audience.viewers().iter().map(Viewer::sent).collect();
        // Of 100 viewers, 1/H(100, 0.9) = 15.6 % belongs to the first.
        assert!((1400..1720).contains(&sent[0]), "{}", sent[0]);
        assert!((sent[0] as f64 / sent[9] as f64 - 10f64.powf(ZIPF)).abs() < 2.0);
    }

    #[test]
    fn an_interaction_is_flat_json() {
        let gift = Interaction {
            viewer: "calm-owl".into(),
            seq: 3,
            kind: Kind::Gift {
                gift: "rose".into(),
                coins: 1,
            },
        };
        let json = r#"{"viewer":"calm-owl","seq":3,"kind":"gift","gift":"rose","coins":1}"#;
        assert_eq!(serde_json::to_string(&gift).unwrap(), json);
        assert_eq!(serde_json::from_str::<Interaction>(json).unwrap(), gift);
    }
}
