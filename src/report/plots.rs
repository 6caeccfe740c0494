//! The page's plots as files of their own.

use std::collections::HashMap;
use std::path::Path;

use super::html::STYLE;
use crate::{file, Error, Result};

/// Folder of the plots beside the page.
const FOLDER: &str = "plots";

/// Writes every chart and map of a page as a stand-alone SVG, named by its label, and takes away those of an earlier page.
pub(super) fn write(page: &str, folder: &Path) -> Result<()> {
    let folder = folder.join(FOLDER);
    if folder.exists() {
        for entry in std::fs::read_dir(&folder).map_err(Error::io("list", &folder))? {
            let path = entry.map_err(Error::io("list", &folder))?.path();
            if path.extension().is_some_and(|extension| extension == "svg") {
                std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
        }
    }
    for (name, drawing) in drawings(page) {
        let path = folder.join(format!("{name}.svg"));
        file::write_atomic(&path, |out| std::io::Write::write_all(out, drawing.as_bytes()))?;
    }
    Ok(())
}

/// Names and contents of all charts and maps.
fn drawings(page: &str) -> Vec<(String, String)> {
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut found = Vec::new();
    for (start, _) in page.match_indices("<svg class=\"") {
        let Some(drawing) = page.get(start..).and_then(|rest| rest.split_inclusive("</svg>").next()) else { continue };
        if !(drawing.starts_with("<svg class=\"chart\"") || drawing.starts_with("<svg class=\"map\"")) {
            continue;
        }
        let label = drawing.split("aria-label=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        let name = slug(label.split(": ").next().unwrap_or(label));
        let times = known.entry(name.clone()).or_default();
        *times += 1;
        let name = if *times > 1 { format!("{name}-{times}") } else { name };
        let Some(inner) = drawing.strip_prefix("<svg ") else { continue };
        let (attributes, body) = inner.split_once('>').unwrap_or((inner, ""));
        let alone = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" {attributes}><title>{label}</title>\
             <style>{STYLE}svg text{{font-family:system-ui,'Liberation Sans',Arial,sans-serif}}</style>\
             <rect width=\"100%\" height=\"100%\" fill=\"var(--paper)\"/>{body}\n"
        );
        found.push((name, alone));
    }
    found
}

/// A label as a file's name: its letters and digits, with hyphens between.
fn slug(label: &str) -> String {
    let mut name = String::new();
    for letter in label.chars().map(|letter| letter.to_ascii_lowercase()) {
        if letter.is_ascii_alphanumeric() || letter == '_' {
            name.push(letter);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        if name.len() >= 80 {
            break;
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() {
        "plot".to_owned()
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_become_files() {
        let chart = "<svg class=\"chart\" viewBox=\"0 0 1 1\" aria-label=\"Level at resid_post: mean by layer\"><path d=\"M0 0\"/></svg>";
        let strip = "<svg class=\"strip\" aria-label=\"x\"></svg>";
        let found = drawings(&format!("<p>{chart}{strip}{chart}</p>"));
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["level-at-resid_post", "level-at-resid_post-2"]);
        assert!(found.iter().all(|(_, drawing)| drawing.contains("xmlns=") && drawing.trim_end().ends_with("</svg>")));
        assert_eq!(slug("../a b"), "a-b");
    }
}
