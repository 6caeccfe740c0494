//! Chat templates with what families do in them, rendered as transformers renders them.

use common::json;
use probity::text::{ChatTemplate, Message, Role};
use probity::Error;

#[test]
fn templates_render_or_refuse_as_in_the_reference() {
    let fixture = json("templates.json");
    let (mut rendered, mut refused) = (0, 0);
    for case in fixture["cases"].as_array().unwrap() {
        let name = case["template"].as_str().unwrap();
        let source = fixture["templates"][name].as_str().unwrap();
        let mut template = ChatTemplate::new(source, &[("bos_token", "<s>"), ("eos_token", "</s>")]).unwrap();
        if let Some(tools) = case.get("tools").and_then(|tools| tools.as_array()) {
            template = template.with_tools(tools.clone());
        }
        let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
        let ours = template.render(&messages, case["add_generation_prompt"].as_bool().unwrap());
        match case["rendered"].as_str() {
            Some(theirs) => {
                assert_eq!(ours.unwrap(), theirs, "{name}: {messages:?}");
                rendered += 1;
            }
            None => {
                let error = ours.unwrap_err();
                assert!(matches!(&error, Error::Template(_)), "{name}");
                assert!(error.to_string().contains("turn"), "the template's own words: {error}");
                refused += 1;
            }
        }
    }
    assert_eq!((rendered, refused), (144, 12));
}

#[test]
fn the_date_of_a_template_is_todays() {
    let template = ChatTemplate::new("{{ strftime_now('%Y') }}", &[]).unwrap();
    let year: u32 = template.render(&[Message::new(Role::User, "x")], true).unwrap().parse().unwrap();
    assert!((2024..3000).contains(&year));
}
