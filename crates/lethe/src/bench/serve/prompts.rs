//! Prompts of a given length, drawn token by token.

use serde_json::{Map, Value, json};

use super::draws::{Draws, Of, pick};
use super::span::Span;

/// Common words, most of them one token in most vocabularies.
const WORDS: [&str; 120] = [
    "the", "of", "and", "to", "in", "is", "that", "for", "it", "as", "was", "with", "be", "by", "on", "not", "he",
    "his", "but", "at", "are", "this", "have", "from", "or", "had", "an", "they", "which", "one", "you", "were", "all",
    "her", "she", "there", "would", "their", "we", "him", "been", "has", "when", "who", "will", "no", "more", "if",
    "out", "so", "up", "said", "what", "its", "about", "than", "into", "them", "can", "only", "other", "time", "new",
    "some", "could", "these", "two", "may", "first", "then", "do", "any", "like", "my", "now", "over", "such", "our",
    "man", "me", "even", "most", "made", "after", "also", "well", "did", "many", "before", "must", "years", "back",
    "see", "much", "where", "way", "down", "work", "long", "here", "house", "water", "city", "name", "line", "side",
    "hand", "part", "day", "sea", "road", "light", "stone", "tree", "book", "door", "night", "morning", "paper",
    "river",
];

/// What prompts are made of.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Alphabet {
    /// Token ids, sent as such: lengths are exact.
    Ids(Vec<u32>),
    /// All token ids of a span.
    IdSpan(Span),
    /// Words of text, each taking so many tokens on average: lengths are about right.
    Words {
        /// Tokens of a word with its blank.
        tokens_per_word: f64,
    },
}

impl Alphabet {
    /// The text whose tokens the other alphabets are made of.
    pub(super) fn text() -> String {
        WORDS.join(" ")
    }

    /// The ids in that text, where a vocabulary has several.
    pub(super) fn of_ids(mut ids: Vec<u32>) -> Option<Alphabet> {
        ids.sort_unstable();
        ids.dedup();
        (ids.len() > 1).then_some(Alphabet::Ids(ids))
    }

    /// Words that take as many tokens as those of that text.
    pub(super) fn of_words(tokens: usize) -> Alphabet {
        Alphabet::Words { tokens_per_word: tokens.max(1) as f64 / WORDS.len() as f64 }
    }
}

/// How prompts are drawn.
#[derive(Clone, Debug)]
pub(super) struct Drawn {
    pub(super) alphabet: Alphabet,
    /// Tokens of a prompt.
    pub(super) tokens: Span,
    /// Tokens at the front that are the same in all prompts.
    pub(super) prefix: usize,
    /// Put as the message of a user.
    pub(super) chat: bool,
}

impl Drawn {
    /// The fields of a request that hold its prompt.
    pub(super) fn fields(&self, draws: Draws, index: u64) -> Map<String, Value> {
        let tokens = draws.within(Of::PromptTokens, index, self.tokens);
        // the front is drawn as that of a request which never comes
        let unit = |place: usize, front: usize| {
            draws.cell(Of::Token, if place < front { (1 << 56) - 1 } else { index }, place)
        };
        let prompt = match &self.alphabet {
            Alphabet::Ids(ids) => {
                (0..tokens).map(|place| ids[pick(unit(place, self.prefix), ids.len())]).collect::<Vec<_>>().into()
            }
            Alphabet::IdSpan(span) => {
                let width = span.high - span.low + 1;
                (0..tokens).map(|place| span.low + pick(unit(place, self.prefix), width)).collect::<Vec<_>>().into()
            }
            Alphabet::Words { tokens_per_word } => {
                let count = |tokens: usize| (tokens as f64 / tokens_per_word).round() as usize;
                let words = (0..count(tokens).max(1))
                    .map(|place| WORDS[pick(unit(place, count(self.prefix)), WORDS.len())])
                    .collect::<Vec<_>>();
                Value::from(words.join(" "))
            }
        };
        let fields = if self.chat {
            json!({ "messages": [{ "role": "user", "content": prompt }] })
        } else {
            json!({ "prompt": prompt })
        };
        let Value::Object(fields) = fields else { unreachable!("an object was written") };
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: Draws = Draws { seed: 11 };

    fn drawn(alphabet: Alphabet, low: usize, high: usize, prefix: usize) -> Drawn {
        Drawn { alphabet, tokens: Span { low, high }, prefix, chat: false }
    }

    fn ids(drawn: &Drawn, index: u64) -> Vec<u64> {
        let fields = drawn.fields(DRAWS, index);
        fields["prompt"].as_array().expect("ids").iter().filter_map(Value::as_u64).collect()
    }

    #[test]
    fn prompts_of_ids_have_the_length_asked_for() {
        let source = drawn(Alphabet::of_ids(vec![9, 5, 5, 7]).unwrap(), 30, 50, 10);
        let all: Vec<_> = (0..20).map(|index| ids(&source, index)).collect();
        for prompt in &all {
            assert!((30..=50).contains(&prompt.len()) && prompt.iter().all(|id| [5, 7, 9].contains(id)), "{prompt:?}");
            assert_eq!(prompt[..10], all[0][..10], "the front is shared");
        }
        assert_ne!(all[0][10..30], all[1][10..30], "the rest is not");
        assert!(all.iter().any(|prompt| prompt.len() != all[0].len()));
        assert_eq!(ids(&source, 3), all[3]);
        let range = drawn(Alphabet::IdSpan(Span { low: 100, high: 101 }), 40, 40, 0);
        let prompt = ids(&range, 0);
        assert!(
            prompt.len() == 40 && prompt.contains(&100) && prompt.contains(&101) && prompt.iter().all(|id| *id < 102)
        );
        assert_eq!(Alphabet::of_ids(vec![4, 4]), None);
    }

    #[test]
    fn prompts_of_words_are_as_long_as_their_tokens_say() {
        let words = |per_word: f64, tokens| {
            let source = drawn(Alphabet::Words { tokens_per_word: per_word }, tokens, tokens, 4);
            source.fields(DRAWS, 1)["prompt"].as_str().expect("text").split(' ').count()
        };
        assert_eq!((words(1.0, 40), words(2.0, 40), words(3.0, 1)), (40, 20, 1));
        assert_eq!(Alphabet::of_words(180), Alphabet::Words { tokens_per_word: 1.5 });
        let chat = Drawn { chat: true, ..drawn(Alphabet::of_words(120), 3, 3, 0) };
        let fields = chat.fields(DRAWS, 0);
        assert_eq!(fields["messages"][0]["role"], "user");
        assert_eq!(fields["messages"][0]["content"].as_str().expect("text").split(' ').count(), 3);
    }
}
