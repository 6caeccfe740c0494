//! The page's drawings as files of their own.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::drawing::Drawing;
use super::html::STYLE;
use super::svg::escape;
use crate::{file, Error, Result};

/// Folder of the plots beside the page.
const FOLDER: &str = "plots";

/// File that lists the plots that are this page's, so that those of an earlier one can be told from other files.
const INDEX: &str = "index.json";

/// The plots of a page: file names with what they show.
#[derive(Serialize, Deserialize)]
struct Index {
    plots: Vec<Entry>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Entry {
    file: String,
    shows: String,
}

/// Writes every drawing as a stand-alone SVG, with a list of them, and takes away those that an earlier list names.
pub(super) fn write(drawings: &[Drawing], folder: &Path) -> Result<()> {
    let folder = folder.join(FOLDER);
    let earlier = earlier(&folder);
    let own = |drawing: &Drawing| Entry { file: format!("{}.svg", drawing.name), shows: drawing.label.clone() };
    let plots: Vec<Entry> = drawings.iter().map(own).collect();
    // Both lists, until all is done: whatever interrupts this, the next report knows what is ours.
    let gone: Vec<Entry> = earlier.into_iter().filter(|old| !plots.iter().any(|plot| plot.file == old.file)).collect();
    let both = Index { plots: plots.iter().chain(&gone).cloned().collect() };
    file::write_json(&folder.join(INDEX), &both)?;
    for (drawing, Entry { file, .. }) in drawings.iter().zip(&plots) {
        let alone = alone(drawing);
        file::write_atomic(&folder.join(file), |out| std::io::Write::write_all(out, alone.as_bytes()))?;
    }
    remove(&folder, gone)?;
    file::write_json(&folder.join(INDEX), &Index { plots })
}

/// What the list in this folder names; nothing without one that can be read.
fn earlier(folder: &Path) -> Vec<Entry> {
    let text = std::fs::read_to_string(folder.join(INDEX)).unwrap_or_default();
    serde_json::from_str::<Index>(&text).map_or(Vec::new(), |index| index.plots)
}

fn remove(folder: &Path, gone: Vec<Entry>) -> Result<()> {
    for Entry { file, .. } in gone {
        // A name alone: a list that points elsewhere is not ours.
        let path = folder.join(&file);
        if path.parent() == Some(folder) && path.extension().is_some_and(|ending| ending == "svg") && path.exists() {
            std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

/// The drawing as a file: with its own style sheet.
fn alone(Drawing { label, svg, .. }: &Drawing) -> String {
    let inner = svg.strip_prefix("<svg ").unwrap_or(svg);
    let (attributes, body) = inner.split_once('>').unwrap_or((inner, ""));
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" {attributes}><title>{}</title>\
         <style>{STYLE}svg text{{font-family:system-ui,'Liberation Sans',Arial,sans-serif}}</style>\
         <rect width=\"100%\" height=\"100%\" fill=\"var(--paper)\"/>{body}\n",
        escape(label)
    )
}
