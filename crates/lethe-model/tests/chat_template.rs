//! Prompts must be those of transformers, character for character (`make_goldens.py` renders them).

mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lethe_model::{ChatTemplate, Message, TemplateError};
use serde_json::{Map, Value};

/// 2025-03-06 12:05:09, the clock of the goldens.
fn clock() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_741_262_709)
}

fn messages(turns: &[(&str, &str)]) -> Vec<Message> {
    turns.iter().map(|(role, content)| Message::new(*role, *content)).collect()
}

fn render(source: &str) -> Result<String, TemplateError> {
    let tokens = [("bos_token".to_owned(), "<s>".to_owned())];
    ChatTemplate::new(source, &tokens)?.render(&messages(&[("user", "Hi")]), true, &Map::new())
}

#[test]
fn prompts_equal_those_of_transformers() {
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(common::fixture("templates.json")).unwrap()).unwrap();
    let mut refused = 0;
    for (index, case) in cases.iter().enumerate() {
        let text = |key: &str| case[key].as_str().unwrap().to_owned();
        let name = text("template");
        let source = std::fs::read_to_string(common::fixture(format!("templates/{name}.jinja"))).unwrap();
        let tokens = ["bos_token", "eos_token"].map(|key| (key.to_owned(), text(key)));
        let messages: Vec<Message> = case["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|turn| Message::new(turn["role"].as_str().unwrap(), turn["content"].as_str().unwrap()))
            .collect();
        let template = ChatTemplate::with_clock(&source, &tokens, clock).unwrap();
        let add_generation_prompt = case["add_generation_prompt"].as_bool().unwrap();
        let prompt = template.render(&messages, add_generation_prompt, case["extra"].as_object().unwrap());
        match case["refused"].as_str() {
            None => assert_eq!(prompt.unwrap(), text("prompt"), "case {index}, {name}"),
            Some(reason) => {
                refused += 1;
                let error = prompt.unwrap_err();
                assert!(matches!(&error, TemplateError::Refused(said) if said == reason), "case {index}: {error}");
            }
        }
    }
    assert!(cases.len() > 50 && refused > 0);
}

#[test]
fn generation_tags_are_a_plain_scope() {
    assert_eq!(render("a {%- generation -%} b {%- endgeneration %} c").unwrap(), "ab c");
    assert_eq!(render("{% generation %}\n{{ messages[0].content }}\n{% endgeneration %}\n.").unwrap(), "Hi\n.");
    let error = render("{% generation x %}{% endgeneration %}").unwrap_err();
    assert!(matches!(&error, TemplateError::Syntax(said) if said.contains("generation")), "{error}");
}

#[test]
fn broken_templates_are_named() {
    assert!(matches!(render("{% if %}"), Err(TemplateError::Syntax(_))));
    assert!(matches!(render("{% for m in messages %}"), Err(TemplateError::Syntax(_))));
    assert!(matches!(render("{% include 'other' %}"), Err(TemplateError::Render(_))));
    for (source, word) in [("{{ 1 | unheard_of }}", "unheard_of"), ("{{ unheard_of() }}", "unheard_of")] {
        let error = render(source).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    for source in
        ["{{ messages[0].content.unheard_of() }}", "{{ nothing.at.all }}", "{{ nothing | tojson }}", "{{ 1 / 0 }}"]
    {
        assert!(matches!(render(source), Err(TemplateError::Render(_))), "{source}: {:?}", render(source));
    }
    assert!(matches!(render("{{ strftime_now('%Q') }}"), Err(TemplateError::Render(said)) if said.contains("%Q")));
    assert!(matches!(render("{{ raise_exception('no') }}"), Err(TemplateError::Refused(said)) if said == "no"));
    // A runaway template ends in an error, not in a full stack.
    assert!(render("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}").is_err());
}

#[test]
fn extra_variables_win_over_special_tokens() {
    let template = ChatTemplate::new("{{ bos_token }}{{ eos_token }}", &[("bos_token".into(), "<s>".into())]).unwrap();
    let extra = Map::from_iter([("bos_token".to_owned(), Value::from("<other>"))]);
    assert_eq!(template.render(&[], false, &extra).unwrap(), "<other>");
}
