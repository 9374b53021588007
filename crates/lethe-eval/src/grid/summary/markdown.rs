//! The summary as Markdown.

use super::Summary;
use super::table::{Table, marked};

pub(in crate::grid) const RIGHT: &str = "Percent of problems answered rightly, with Wilson's 95 % interval. A budget is the most slots \
beyond the prompt that a layer may hold, interval included, or a share of what full held there. `~`: not exercised, something was \
forgotten on fewer than 90 % of the problems. `^`: raised, the policy's smallest budget holds more than asked on some problems; \
the shares held are below.";

pub(in crate::grid) const FAMILIES: &str = "Differences are in points, on the same problems: paired bootstrap 95 % interval, problems won \
and lost, and the exact McNemar p adjusted by Holm over all comparisons of the table; `*` marks those below .05 where neither side is raised. Held is what was \
achieved, over the slots that full held beyond the prompt at its end: mean over steps, and the most ever, both means over problems \
and layers. Length is that of the answers over full's. Answers that were cut off or loop count as wrong. Differs at: median of the \
first token that is not full's.";

pub(in crate::grid) const RISK: &str = "Area under the curve with DeLong's 95 % interval where each question has one answer, all tasks together: .5 is no better than a coin; \
below .5 the larger number belongs to right answers. These numbers differ between tasks and grow with the length of an answer, and \
wrong answers are often longer: an area says what could be told once the answer is there, not why.";

pub(in crate::grid) const DRAWN: &str = "Several answers to each question were drawn, with the same random numbers under every policy. Right is \
pass@1, the share of all answers; its interval is a bootstrap over questions, as is that of differences, and p is that of a sign-flip \
test over questions, since answers to one question are no independent evidence.";

impl Summary {
    /// `summary.md`: what was run, right answers, each family of comparisons, what foretells wrong answers.
    pub fn markdown(&self) -> String {
        let titled = |table: &Table| format!("\n### {}\n\n{}", marked(&table.title), table.markdown());
        let whole = self.whole_table();
        let mut text = format!(
            "# {}\n\n{}\n\n## {}\n\n{}",
            marked(&self.title()),
            marked(&self.source()),
            whole.title,
            whole.markdown()
        );
        let right = self.right_tables();
        if !right.is_empty() {
            text += &format!("\n## Right answers\n\n{RIGHT}\n");
            if self.manifest.draws.is_some() {
                text += &format!("\n{DRAWN}\n");
            }
            right.iter().for_each(|table| text += &titled(table));
            text += &format!("\n## Family by family\n\n{FAMILIES}\n");
            self.family_tables().iter().for_each(|table| text += &titled(table));
        }
        if let Some(risk) = self.risk_table() {
            text += &format!("\n## {}\n\n{RISK}\n\n{}", risk.title, risk.markdown());
        }
        text
    }

    /// A heading for everything.
    pub(in crate::grid) fn title(&self) -> String {
        format!("What survives forgetting: {}", self.manifest.model)
    }

    /// What the rows came from, in a sentence or two.
    pub(in crate::grid) fn source(&self) -> String {
        let m = &self.manifest;
        let lengths =
            m.tasks.iter().filter_map(|task| task.slots.map(|[least, most]| format!("{} {least}–{most}", task.task)));
        let lengths: Vec<String> = lengths.collect();
        let lengths = if lengths.is_empty() {
            String::new()
        } else {
            format!(" Problems were chosen by the slots that their right answer fills: {}.", lengths.join(", "))
        };
        format!(
            "Lethe {}{}, weights {}{}, KV {}, {}, seed {}. {}.{lengths} manifest.json has the rest.",
            m.lethe,
            m.commit.as_ref().map_or(String::new(), |commit| format!(" at {commit}")),
            m.model_sha256.get(..12).unwrap_or(&m.model_sha256),
            if m.exact { " as stored" } else { "" },
            m.kv_dtype,
            m.cpu,
            m.seed,
            m.draws.map_or("Greedy".to_owned(), |draws| draws.to_string()),
        )
    }
}
