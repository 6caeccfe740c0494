//! The charts and maps of a page, each with a name.

use std::cell::RefCell;
use std::collections::HashSet;

/// A chart or map as SVG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Drawing {
    /// Name as a file's: letters, digits and hyphens; each once.
    pub name: String,
    /// What it shows, in words.
    pub label: String,
    /// The element.
    pub svg: String,
}

/// The drawings of a page, in order; sections add them while they are written.
#[derive(Debug, Default)]
pub(super) struct Drawings(RefCell<Vec<Drawing>>);

impl Drawings {
    /// Keeps a drawing under its title, and gives its markup for the page. An empty one is nothing.
    pub fn add(&self, title: &str, svg: String) -> String {
        if svg.is_empty() {
            return svg;
        }
        let drawing = Drawing { name: slug(title), label: title.to_owned(), svg: svg.clone() };
        self.0.borrow_mut().push(drawing);
        svg
    }

    /// All of them; of those with one name the later ones get a number.
    pub fn finish(self) -> Vec<Drawing> {
        let mut taken: HashSet<String> = HashSet::new();
        let mut drawings = self.0.into_inner();
        for drawing in &mut drawings {
            let numbered = (2..).map(|number: usize| format!("{}-{number}", drawing.name));
            let mut names = [drawing.name.clone()].into_iter().chain(numbered);
            if let Some(free) = names.find(|name| !taken.contains(name)) {
                drawing.name = free;
            }
            taken.insert(drawing.name.clone());
        }
        drawings
    }
}

/// A title as a file's name: its letters and digits, with hyphens between.
fn slug(title: &str) -> String {
    let mut name = String::new();
    for letter in title.chars().map(|letter| letter.to_ascii_lowercase()) {
        if letter.is_ascii_alphanumeric() || letter == '_' {
            name.push(letter);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        if name.len() >= 80 {
            break;
        }
    }
    match name.trim_end_matches('-') {
        "" => "plot".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawings_have_names_of_their_own() {
        let drawings = Drawings::default();
        assert_eq!(drawings.add("Level at resid_post", "<svg/>".to_owned()), "<svg/>");
        drawings.add("nothing", String::new());
        drawings.add("Level at resid_post", "<svg/>".to_owned());
        let names: Vec<String> = drawings.finish().into_iter().map(|drawing| drawing.name).collect();
        assert_eq!(names, ["level-at-resid_post", "level-at-resid_post-2"]);
        assert_eq!(slug("../a b"), "a-b");
        assert_eq!(slug("\u{b7}"), "plot");
    }
}
