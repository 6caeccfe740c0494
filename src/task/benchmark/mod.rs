//! The official files of public benchmarks. A loader's `load` takes a path and gives a task; where the files hold several
//! tasks, the loader is an enum of them.

mod bbq;
mod ethics;
mod jigsaw;
mod real_toxicity_prompts;
mod table;
mod winogender;

pub use bbq::Bbq;
pub use ethics::Ethics;
pub use jigsaw::{Comments, Jigsaw};
pub use real_toxicity_prompts::RealToxicityPrompts;
pub(super) use winogender::Gender;
pub use winogender::{Occupation, Winogender};

use std::path::{Path, PathBuf};

/// `folder/data` where the repository's root was given, `folder` itself otherwise.
fn data_folder(folder: &Path) -> PathBuf {
    let inner = folder.join("data");
    match inner.is_dir() {
        true => inner,
        false => folder.to_owned(),
    }
}
