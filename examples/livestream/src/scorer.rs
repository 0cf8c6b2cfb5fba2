//! The scorer: rules and word lists, and nothing that has learned anything. It stands where a model
//! would: same question, same form of answer, and the time that it takes is made up
//! ([`worker`](crate::worker)).

use eventlane_example_room::crowd::Kind;
use serde::{Deserialize, Serialize};

const GOOD: [&str; 7] = [
    "love",
    "great",
    "goal",
    "golazo",
    "hello",
    "greetings",
    "thanks",
];
const BAD: [&str; 4] = ["boring", "lagging", "awful", "worst"];
const FORBIDDEN: [&str; 2] = ["http://", "free coins"];
/// From so many coins on a gift is worth a mention.
const MANY_COINS: u32 = 100;

/// What the scorer says of an interaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Score {
    /// From -1 to 1.
    pub(crate) sentiment: f64,
    pub(crate) moderation: Moderation,
    /// What the hosts might do about it.
    pub(crate) highlight: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Moderation {
    Show,
    Hide,
}

/// Scores an interaction.
pub(crate) fn score(kind: &Kind) -> Score {
    match kind {
        Kind::Like => Score {
            sentiment: 0.5,
            moderation: Moderation::Show,
            highlight: None,
        },
        Kind::Gift { gift, coins } => Score {
            sentiment: 1.0,
            moderation: Moderation::Show,
            highlight: (*coins >= MANY_COINS).then(|| format!("thank for the {gift}")),
        },
        Kind::Comment { text } => comment(&text.to_lowercase()),
    }
}

fn comment(text: &str) -> Score {
    let found = |words: &[&str]| words.iter().filter(|word| text.contains(**word)).count() as f64;
    if found(&FORBIDDEN) > 0.0 {
        return Score {
            sentiment: -1.0,
            moderation: Moderation::Hide,
            highlight: None,
        };
    }
    let (good, bad) = (found(&GOOD), found(&BAD));
    let loud = if text.contains('!') { 1.5 } else { 1.0 };
    let highlight = match text {
        text if text.contains('?') => Some("answer"),
        _ if good * loud >= 1.5 => Some("read out"),
        _ => None,
    };
    Score {
        sentiment: ((good - bad) * loud / 2.0).clamp(-1.0, 1.0),
        moderation: Moderation::Show,
        highlight: highlight.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Score {
        let text = text.to_owned();
        score(&Kind::Comment { text })
    }

    #[test]
    fn words_decide() {
        assert_eq!(of("What a goal!").sentiment, 0.75);
        assert_eq!(of("what a goal!").highlight.as_deref(), Some("read out"));
        assert!(of("this is so boring").sentiment < 0.0);
        assert_eq!(
            of("which camera is this?").highlight.as_deref(),
            Some("answer")
        );
        assert_eq!(of("").sentiment, 0.0);
        let spam = of("FREE COINS at http://spam.example");
        assert_eq!((spam.moderation, spam.sentiment), (Moderation::Hide, -1.0));
        let sentiment = of("love love great goal golazo hello!!!").sentiment;
        assert_eq!(sentiment, 1.0, "within its bounds");
    }

    #[test]
    fn a_large_gift_is_worth_a_mention() {
        let gift = |coins| Kind::Gift {
            gift: "castle".into(),
            coins,
        };
        assert_eq!(
            score(&gift(1000)).highlight.as_deref(),
            Some("thank for the castle")
        );
        assert_eq!(score(&gift(10)).highlight, None);
    }
}
