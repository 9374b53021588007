//! What the cache alone can answer.

use crate::error::HubError;
use crate::found::{Found, FoundKind, Origin};
use crate::index;
use crate::layout::Layout;
use crate::reference::{HubRef, Wanted};
use crate::select::{DEFAULT_QUANT, INDEX, Selection, Shape, select};

/// The model, if all its files are in the snapshot the revision named when last asked; else what is missing.
///
/// `sure` demands that nothing the snapshot may lack could have changed the choice. It always is sure where the list of
/// the commit's files is kept; a snapshot that another program made may be without.
pub(crate) fn look_up(layout: &Layout, at: &HubRef, sure: bool) -> Result<Found, String> {
    let everything = || describe(&at.wanted);
    let commit = layout.commit(&at.revision).ok_or_else(everything)?;
    let listing = layout.listing(&commit);
    let sizes = listing.as_ref().map_or_else(|| layout.files(&commit), |listing| listing.sizes());
    let selection = select(&sizes, &at.wanted).map_err(|_| everything())?;
    if sure && listing.is_none() && !selection.certain {
        return Err(everything());
    }
    let held = |name: &String| {
        let size = sizes.iter().find(|file| file.name == *name).map(|file| file.size);
        size.is_some_and(|size| layout.holds(&commit, name, size))
    };
    let selection = with_shards(layout, &commit, selection).map_err(|_| INDEX.to_owned())?;
    let missing: Vec<&str> = selection.files.iter().filter(|name| !held(name)).map(String::as_str).collect();
    if missing.is_empty() { Ok(found(layout, at, &commit, &selection)) } else { Err(missing.join(", ")) }
}

/// Adds what an index names to a selection. The index must be there.
pub(crate) fn with_shards(layout: &Layout, commit: &str, mut selection: Selection) -> Result<Selection, HubError> {
    if selection.shape == Shape::IndexedFolder {
        for shard in index::shards(&layout.pointer(commit, INDEX))? {
            if !selection.files.contains(&shard) {
                selection.files.push(shard);
            }
        }
    }
    Ok(selection)
}

/// A selection whose files are all there.
pub(crate) fn found(layout: &Layout, at: &HubRef, commit: &str, selection: &Selection) -> Found {
    let files: Vec<_> = selection.files.iter().map(|name| layout.pointer(commit, name)).collect();
    let (path, kind) = match (selection.shape, files.first()) {
        (Shape::Gguf, Some(first)) => (first.clone(), FoundKind::File),
        _ => (layout.snapshot(commit), FoundKind::Folder),
    };
    Found { path, kind, files, origin: Some(Origin { at: at.clone(), commit: commit.to_owned() }) }
}

fn describe(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Default => format!("a model ({DEFAULT_QUANT}, its only GGUF, or a folder of safetensors)"),
        Wanted::Quant(quant) => format!("a GGUF of quantisation {quant}"),
        Wanted::File(file) => file.clone(),
    }
}
