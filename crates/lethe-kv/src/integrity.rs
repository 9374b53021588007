//! Does every page have exactly the owners that the ledger counts?

use crate::{Ledger, PrefixCache, SeqCache};

/// Checks the ledger against all sequences that live on it, and the prefix cache if there is one: every page is free or
/// counted once per owner, none both, and every sequence is sound in itself ([`SeqCache::check`]).
///
/// # Errors
/// A sentence that says what is broken and where.
pub fn check_integrity<'a>(
    ledger: &Ledger,
    seqs: impl IntoIterator<Item = &'a SeqCache>,
    prefixes: Option<&PrefixCache>,
) -> Result<(), String> {
    let mut owners = vec![0u32; ledger.total()];
    let mut lent = vec![false; ledger.total()];
    let mut promised = 0;
    if let Some(prefixes) = prefixes {
        prefixes.check()?;
        promised += prefixes.len();
        for page in prefixes.pages() {
            owners[page as usize] += 1;
            lent[page as usize] = true;
        }
    }
    for (i, seq) in seqs.into_iter().enumerate() {
        seq.check().map_err(|why| format!("sequence {i}: {why}"))?;
        promised += seq.grant().pages();
        for &page in seq.pages() {
            owners[page as usize] += 1;
        }
    }
    if promised > ledger.total() - ledger.available() {
        return Err(format!("{promised} pages promised to sequences, fewer in the ledger"));
    }
    let books = ledger.books();
    if let Some(p) = (0..lent.len()).find(|&p| lent[p] != books.lent[p]) {
        return Err(format!(
            "page {p} is {}the prefix cache's, the ledger says otherwise",
            if lent[p] { "" } else { "not " }
        ));
    }
    if let Some(p) = (0..owners.len()).find(|&p| owners[p] != books.owners[p]) {
        return Err(format!("page {p} has {} owners, the ledger counts {}", owners[p], books.owners[p]));
    }
    let mut free = vec![false; owners.len()];
    for &page in &books.free {
        let p = page as usize;
        if owners[p] > 0 || std::mem::replace(&mut free[p], true) {
            return Err(format!("page {p} is in the free list and {}", if owners[p] > 0 { "owned" } else { "twice" }));
        }
    }
    match (0..owners.len()).find(|&p| owners[p] == 0 && !free[p]) {
        Some(p) => Err(format!("page {p} is neither free nor owned")),
        None => Ok(()),
    }
}
