//! Finds models by name: the Hugging Face cache, and downloads into it.
//!
//! ```no_run
//! use lethe_hub::{Event, Hub, HubOptions, ModelRef};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Hub::new(HubOptions::from_env()?)?;
//! let model: ModelRef = "Qwen/Qwen3-0.6B-GGUF:Q8_0".parse()?;
//! let found = hub.resolve(&model, &mut |event| {
//!     if let Event::Bytes { name, done, size } = event {
//!         eprint!("\r{name}: {done} of {size}");
//!     }
//! })?;
//! println!("{}", found.path.display());
//! # Ok(())
//! # }
//! ```
//!
//! # Which files
//! A quantisation picks the GGUF whose name bears it as a word; plain Q4_K_M wins over a variant such as UD-Q4_K_M, and a
//! short name over a longer one. Without one: Q4_K_M; else the only GGUF; else, where there is no GGUF, `config.json` with
//! the safetensors, the tokenizer and the chat template. All parts of a split GGUF are fetched. Projectors, importance
//! matrices and everything else stay where they are.
//!
//! # When the hub is asked
//! What is cached is preferred. If `refs/<revision>` names a commit and the files that were asked for are all in its
//! snapshot, no request is made: the same name gives the same bytes until something is missing. Then the hub is asked
//! which commit the revision names *now*, what that commit adds is fetched, and the ref moves to it. Files that have not
//! changed are linked, not fetched again. [`HubOptions::refresh`] asks every time; [`HubOptions::offline`] never does.
//!
//! # The cache
//! The layout is that of `huggingface_hub`: what one has fetched the other finds. A blob takes its name only after its
//! size and, in large file storage, its SHA-256 were checked. Until then it is `blobs/<id>.incomplete`, which the next
//! attempt continues, and a lock keeps all others away from it.
//!
//! # Trust
//! Names, ids and addresses out of answers are hostile: one that could reach outside the cache is refused. The token goes
//! to the hub's own origin and to no other server, whatever redirects say.
#![forbid(unsafe_code)]

mod attempts;
pub mod cached;
mod download;
pub mod error;
pub mod event;
pub mod found;
mod gguf_name;
mod http;
pub mod hub;
mod index;
mod layout;
mod listing;
mod lock;
mod lookup;
mod names;
pub mod options;
mod partial;
pub mod reference;
pub mod select;
pub mod size;
mod url;

pub use cached::{CachedFile, CachedModel, CachedRevision, Runnable};
pub use error::HubError;
pub use event::{Event, Progress};
pub use found::{Found, FoundKind, Origin};
pub use hub::Hub;
pub use options::{HubOptions, Token};
pub use reference::{HubRef, ModelRef, ParseRefError, RepoId, Revision, Wanted};
pub use select::SelectError;
pub use size::{Bytes, FileSize};
