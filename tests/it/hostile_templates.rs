//! Chat templates that mean harm, or might: an error within bounded time and memory, never a hang or a crash.

use common::made::Folder;
use probity::text::{ChatTemplate, Message, Role};
use probity::{Error, Model};

const HOSTILE: [(&str, &str, &str); 29] = [
    ("loops in loops", "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "fuel"),
    ("a huge range", "{% for a in range(10 ** 12) %}x{% endfor %}", "range"),
    ("a lazy huge list", "{% for a in [0] * 10 ** 12 %}{% endfor %}", "bytes of text"),
    ("a loop that calls itself", "{% for a in [[1]] recursive %}{{ loop([a]) }}{% endfor %}", "recursion"),
    ("a macro that calls itself", "{% macro m(x) %}{{ m(x) }}{{ m(x) }}{% endmacro %}{{ m(1) }}", "recursion"),
    ("two macros that call each other", "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}", "recursion"),
    ("a large output", "{% for a in range(99999) %}{{ 'x' * 9999 }}{% endfor %}", "bytes"),
    ("a doubled text", "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}", "bytes of text"),
    ("a doubled sum", "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}", "bytes of text"),
    ("a doubled list", "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}{{ n.x | length }}", "bytes of text"),
    ("a list of lists", "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x == n.x }}", "bytes of text"),
    ("a deep list", "{% set n = namespace(x=[1]) %}{% for i in range(90000) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}", "too deep"),
    ("a deep namespace", "{% set n = namespace(x=0) %}{% for i in range(90000) %}{% set n.x = namespace(x=n.x) %}{% endfor %}", "too deep"),
    ("a value within itself", "{% set n = namespace(x=0) %}{% set n.x = n %}{{ n }}{{ n | tojson }}{{ n | string }}", "too deep"),
    ("a captured text", "{% macro m(x) %}{{ x }}{{ x }}{% endmacro %}{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = m(n.x) %}{% endfor %}", "bytes of text"),
    ("a repeated text", "{{ 'ab' * 10 ** 10 }}", "too large"),
    ("many repeated texts", "{% set n = namespace(x=[]) %}{% for i in range(999) %}{% set n.x = n.x + ['x' * 90000000] %}{% endfor %}", "bytes of text"),
    ("a joined list", "{{ (['x'] * 90000) | join('y' * 900000) }}", "bytes of text"),
    ("a method that joins", "{{ ('y' * 900000).join(['x'] * 90000) }}", "bytes of text"),
    ("a replacement", "{{ ('x' * 900000) | replace('x', 'y' * 900000) }}", "bytes of text"),
    ("a method that replaces", "{{ ('x' * 900000).replace('x', 'y' * 900000) }}", "bytes of text"),
    ("an indentation", "{{ ('x\n' * 900000) | indent(900000) }}", "bytes of text"),
    ("indented JSON", "{{ [[1]] | tojson(indent=10 ** 10) }}", "indent"),
    ("a wide format", "{{ '%999999999d' | format(1) }}", "width"),
    ("a wide format method", "{{ '{:>999999999}'.format(1) }}", "width"),
    ("many batches", "{{ [1] | slice(10 ** 10) | list }}{{ [1] | batch(10 ** 10, 0) | list }}", "bytes of text"),
    ("a search without an end", "{{ 1 in [0] * 10 ** 15 }}", "bytes of text"),
    ("a comparison without an end", "{{ [0] * 10 ** 15 == [0] * 10 ** 15 }}", "bytes of text"),
    ("another file", "{% include '/etc/passwd' %}", "other templates"),
];

fn refusal(source: &str) -> Option<Error> {
    match ChatTemplate::new(source, &[]) {
        Err(error) => Some(error),
        Ok(template) => template.render(&[Message::new(Role::User, "hello")], true).err(),
    }
}

#[test]
fn hostile_templates_are_refused() {
    let mut wrong = Vec::new();
    for (what, source, says) in HOSTILE {
        match refusal(source) {
            Some(error @ Error::Template(_)) if error.to_string().contains(says) => {}
            outcome => wrong.push((what, outcome.map(|error| error.to_string()))),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn time_ends_what_nothing_else_does() {
    let source = "{% set a = 'x' * 60000000 %}{% set b = 'x' * 60000000 %}{% for i in range(9999) %}\
                  {% for j in range(99999) %}{% if a == b %}{% endif %}{% endfor %}{% endfor %}";
    let error = refusal(source).unwrap();
    assert!(error.to_string().contains("takes too long"), "{error}");
}

#[test]
fn long_or_deep_sources_are_refused_or_rendered_without_overflowing_the_stack() {
    let chain = |piece: &str, times: usize| piece.repeat(times);
    for (what, source) in [
        ("sum", format!("{{{{ 1{} }}}}", chain("+1", 100_000))),
        ("concatenation", format!("{{{{ 'a'{} }}}}", chain("~'a'", 50_000))),
        ("attributes", format!("{{{{ a{} }}}}", chain(".a", 100_000))),
        ("filters", format!("{{{{ 'a'{} }}}}", chain("|e", 100_000))),
        ("calls", format!("{{{{ a{} }}}}", chain("()", 100_000))),
        ("conditions", format!("{{% if a %}}{}{{% endif %}}", chain("{% elif a %}", 20_000))),
        ("choices", format!("{{{{ {}1 }}}}", chain("1 if a else ", 20_000))),
        ("negations", format!("{{{{ {}1 }}}}", chain("not ", 60_000))),
        ("signs", format!("{{{{ {}1 }}}}", chain("-", 200_000))),
        ("parentheses", format!("{{{{ {}1 }}}}", chain("(", 200_000))),
        ("lists", format!("{{{{ {}{} }}}}", chain("[", 100_000), chain("]", 100_000))),
        ("blocks", chain("{% for a in b %}", 10_000)),
        ("comparisons", format!("{{{{ 1{} }}}}", chain("<1", 100_000))),
        ("and", format!("{{{{ 1{} }}}}", chain(" and 1", 40_000))),
        ("length", chain("x", 300_000)),
    ] {
        if let Some(error) = refusal(&source) {
            assert!(matches!(error, Error::Template(_)), "{what}: {error}");
            assert!(error.to_string().len() < 2_000, "{what}: the error is as long as the template");
        }
    }
}

#[test]
fn a_model_with_a_hostile_template_loads_and_the_rendering_is_refused() {
    let folder = Folder::tiny("tied");
    for (what, source, _) in HOSTILE {
        folder.write("chat_template.jinja", source);
        let outcome = Model::load(folder.path())
            .and_then(|model| model.template()?.render(&[Message::new(Role::User, "hello")], true));
        assert!(matches!(outcome, Err(Error::Template(_) | Error::Malformed { .. })), "{what}");
    }
}

#[test]
fn long_conversations_are_rendered() {
    let source = "{% set ns = namespace(turns=0, all='') %}{% for m in messages %}{% set ns.turns = ns.turns + 1 %}\
                  <|{{ m.role }}|>{{ m.content | trim }}{% if not loop.last %}{{ '\n' }}{% endif %}{% endfor %}{{ ns.turns }}";
    let template = ChatTemplate::new(source, &[]).unwrap();
    let turns: Vec<Message> =
        (0..5_000).map(|turn| Message::new(Role::User, format!(" {turn} {}", "word ".repeat(200)))).collect();
    let text = template.render(&turns, true).unwrap();
    assert!(text.ends_with("5000") && text.len() > 5_000_000);
}
