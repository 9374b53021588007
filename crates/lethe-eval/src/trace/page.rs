//! A trace as one HTML page: text, style, script and data in one file that asks for nothing from the network.

use serde::Serialize;
use serde_json::{Value, json};

use super::{By, Trace, chart};

/// The page with places for what differs.
const PAGE: &str = include_str!("page.html");

/// The page of a trace. The same trace gives the same bytes.
pub fn page(trace: &Trace) -> String {
    let header = &trace.header;
    let options: Vec<String> = header.options.iter().map(|(key, value)| format!("{key}={}", bare(value))).collect();
    let task = match &header.task {
        Some(task) => format!("{}, level {}, seed {}", task.family, task.level, task.seed),
        None => "a question".to_owned(),
    };
    let nothing = format!("<p class=\"note\">The policy {} keeps no scores.</p>", escaped(&header.policy));
    let parts = [
        ("{{task}}", escaped(&task)),
        ("{{model}}", escaped(&header.model)),
        ("{{policy}}", escaped(&header.policy)),
        ("{{options}}", escaped(&options.join(" "))),
        ("{{slots}}", chart::slots(trace)),
        ("{{heatmap}}", chart::heatmap(trace).unwrap_or(nothing)),
        ("{{data}}", data(trace).replace('<', "\\u003c")),
    ];
    filled(PAGE, &parts)
}

/// The template with each place filled, once: what is filled in is not looked at again.
fn filled(template: &str, parts: &[(&str, String)]) -> String {
    let mut page = String::with_capacity(template.len() + parts.iter().map(|(_, text)| text.len()).sum::<usize>());
    let mut rest = template;
    while let Some(at) = rest.find("{{") {
        page.push_str(&rest[..at]);
        rest = &rest[at..];
        match parts.iter().find(|(place, _)| rest.starts_with(place)) {
            Some((place, text)) => {
                page.push_str(text);
                rest = &rest[place.len()..];
            }
            None => {
                page.push_str("{{");
                rest = &rest[2..];
            }
        }
    }
    page.push_str(rest);
    page
}

/// What the script of the page works with.
#[derive(Serialize)]
struct Data<'a> {
    layers: usize,
    lanes: usize,
    texts: Vec<&'a str>,
    segments: Vec<Value>,
    gone: Vec<Vec<u32>>, // [tokens], when and in which layer, one after the other
    rounds: Vec<Value>,
    levels: Vec<Value>,
    needs: Vec<Value>,
    end: &'a super::End,
}

/// [`Data`] in JSON.
fn data(trace: &Trace) -> String {
    let texts: Vec<&str> = trace.segments.iter().flat_map(|segment| &segment.texts).map(String::as_str).collect();
    let apart = trace.rounds.iter().flat_map(|round| &round.forgot).any(|lost| lost.lane.is_some());
    let mut gone = vec![Vec::new(); texts.len()];
    for round in &trace.rounds {
        for [first, last] in round.forgot.iter().flat_map(|lost| &lost.runs) {
            for position in *first..=*last {
                gone[position as usize].extend([round.position, round.layer as u32]);
            }
        }
    }
    let mut begin = 0;
    let segment = |segment: &super::Segment| {
        let from = begin;
        begin += segment.ids.len();
        json!([from, segment.by == By::Model, segment.right])
    };
    let segments: Vec<Value> = trace.segments.iter().map(segment).collect();
    let round = |r: &super::Round| json!([r.position, r.layer, r.before, r.after, r.trigger, r.bytes, r.dropped_mass]);
    let level = |l: &super::Level| json!([l.position, l.bytes, l.hoyer]);
    let need = |n: &super::Need| json!([n.at, n.from, n.gone]);
    let data = Data {
        layers: trace.header.layers,
        lanes: if apart { trace.header.kv_heads } else { 1 },
        texts,
        segments,
        gone,
        rounds: trace.rounds.iter().map(round).collect(),
        levels: trace.levels.iter().map(level).collect(),
        needs: trace.needs.iter().map(need).collect(),
        end: &trace.end,
    };
    serde_json::to_string(&data).expect("every key is a text")
}

/// A value without the quotes of JSON.
fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Text as HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_left_alone() {
        let parts = [("{{a}}", "{{b}}".to_owned()), ("{{b}}", "x".to_owned())];
        assert_eq!(filled("{{a}} {{b}} {{c}} {", &parts), "{{b}} x {{c}} {");
    }
}
