//! The ledger: which pages are free, how many owners the others have, how many are promised.
//!
//! Admission is by reserved worst case: a sequence gets a [`Grant`] for the most pages it can ever hold at once, and
//! the grants of all sequences together never exceed the pool. Since a page is held under at least one grant,
//! `distinct pages held <= sum of held <= sum of grants <= total`, so taking a page within a grant never fails, and
//! neither does copying a shared page (a shared page is counted in every grant that holds it).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{KvError, PageId};

#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) free: Vec<PageId>, // stack: the page freed last is the one still in cache
    pub(crate) owners: Vec<u32>,  // [total]
    committed: usize,
    shared: usize, // pages with more than one owner
}

/// Shared bookkeeping of one pool's pages. Clones are handles to the same books.
#[derive(Clone, Debug)]
pub struct Ledger {
    books: Arc<Mutex<Books>>,
    total: usize,
}

impl Ledger {
    /// Books for `total` pages, all free.
    pub fn new(total: usize) -> Ledger {
        let free = (0..total as PageId).rev().collect();
        let books = Books { free, owners: vec![0; total], committed: 0, shared: 0 };
        Ledger { books: Arc::new(Mutex::new(books)), total }
    }

    /// Pages of the pool.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Pages nobody holds.
    pub fn free(&self) -> usize {
        self.books().free.len()
    }

    /// Pages that no grant has promised: what a new sequence may ask for.
    pub fn available(&self) -> usize {
        self.total - self.books().committed
    }

    /// Pages with more than one owner.
    pub fn shared(&self) -> usize {
        self.books().shared
    }

    /// Promises `pages` pages.
    ///
    /// # Errors
    /// [`KvError::OutOfPages`] when fewer are available; nothing changes.
    pub fn reserve(&self, pages: usize) -> Result<Grant, KvError> {
        let mut books = self.books();
        let available = self.total - books.committed;
        if pages > available {
            return Err(KvError::OutOfPages { needed: pages, available, total: self.total });
        }
        books.committed += pages;
        drop(books);
        Ok(Grant { ledger: self.clone(), pages, held: 0 })
    }

    // A panic while the lock is held cannot leave the books half written (each method below updates them after its
    // checks), so a poisoned lock is still good; refusing it would leak every page of the panicking step.
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right of one sequence to hold up to `pages` pages. Dropping it gives the promise back (the sequence returns
/// the pages themselves).
#[derive(Debug)]
pub struct Grant {
    ledger: Ledger,
    pages: usize,
    held: usize,
}

impl Grant {
    /// Pages promised.
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// Pages now held under this grant.
    pub fn held(&self) -> usize {
        self.held
    }

    /// The ledger this grant belongs to.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Changes the promise to `pages`, never below what is held.
    ///
    /// # Errors
    /// [`KvError::OutOfPages`] when the growth is not available; nothing changes.
    pub fn resize(&mut self, pages: usize) -> Result<(), KvError> {
        let pages = pages.max(self.held);
        let mut books = self.ledger.books();
        let available = self.ledger.total - books.committed;
        if pages > self.pages + available {
            return Err(KvError::OutOfPages { needed: pages - self.pages, available, total: self.ledger.total });
        }
        books.committed = books.committed + pages - self.pages;
        drop(books);
        self.pages = pages;
        Ok(())
    }

    /// A fresh page owned by this grant alone.
    pub(crate) fn take(&mut self) -> Result<PageId, KvError> {
        if self.held == self.pages {
            return Err(KvError::GrantSpent { pages: self.pages });
        }
        let page = take_free(&mut self.ledger.books(), self.ledger.total)?;
        self.held += 1;
        Ok(page)
    }

    /// One more owner for a page that another grant holds.
    pub(crate) fn share(&mut self, page: PageId) -> Result<(), KvError> {
        if self.held == self.pages {
            return Err(KvError::GrantSpent { pages: self.pages });
        }
        let mut books = self.ledger.books();
        let owners = &mut books.owners[page as usize];
        *owners += 1;
        if *owners == 2 {
            books.shared += 1;
        }
        drop(books);
        self.held += 1;
        Ok(())
    }

    /// True when somebody else holds the page too, so that it must not be written.
    pub(crate) fn is_shared(&self, page: PageId) -> bool {
        self.ledger.books().owners[page as usize] > 1
    }

    /// Swaps a shared page for a fresh one of our own.
    pub(crate) fn exchange(&mut self, shared: PageId) -> Result<PageId, KvError> {
        let mut books = self.ledger.books();
        let fresh = take_free(&mut books, self.ledger.total)?;
        release(&mut books, shared);
        Ok(fresh)
    }

    /// Returns a page; it is free once its last owner has done so.
    pub(crate) fn give_back(&mut self, page: PageId) {
        release(&mut self.ledger.books(), page);
        self.held -= 1;
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        debug_assert_eq!(self.held, 0, "a grant outlived by its pages");
        self.ledger.books().committed -= self.pages;
    }
}

fn take_free(books: &mut Books, total: usize) -> Result<PageId, KvError> {
    let page = books.free.pop().ok_or(KvError::OutOfPages { needed: 1, available: 0, total })?;
    books.owners[page as usize] = 1;
    Ok(page)
}

fn release(books: &mut Books, page: PageId) {
    let owners = &mut books.owners[page as usize];
    *owners -= 1;
    match *owners {
        0 => books.free.push(page),
        1 => books.shared -= 1,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_promise_no_more_than_there_is() {
        let ledger = Ledger::new(10);
        let mut a = ledger.reserve(6).unwrap();
        assert_eq!(ledger.reserve(5).unwrap_err(), KvError::OutOfPages { needed: 5, available: 4, total: 10 });
        let b = ledger.reserve(4).unwrap();
        assert_eq!(ledger.available(), 0);
        assert!(a.resize(7).is_err());
        drop(b);
        a.resize(10).unwrap();
        assert_eq!((ledger.available(), a.pages()), (0, 10));
        a.resize(0).unwrap();
        drop(a);
        assert_eq!(ledger.available(), 10);
    }

    #[test]
    fn a_grant_spends_only_its_own() {
        let ledger = Ledger::new(3);
        let mut g = ledger.reserve(2).unwrap();
        let pages = [g.take().unwrap(), g.take().unwrap()];
        assert_eq!(g.take().unwrap_err(), KvError::GrantSpent { pages: 2 });
        g.resize(1).unwrap();
        assert_eq!(g.pages(), 2, "never below what is held");
        for p in pages {
            g.give_back(p);
        }
        assert_eq!(ledger.free(), 3);
    }

    #[test]
    fn shared_pages_are_free_after_the_last_owner() {
        let ledger = Ledger::new(4);
        let (mut a, mut b) = (ledger.reserve(2).unwrap(), ledger.reserve(2).unwrap());
        let page = a.take().unwrap();
        b.share(page).unwrap();
        assert!(a.is_shared(page));
        assert_eq!((ledger.shared(), ledger.free()), (1, 3));
        let own = b.exchange(page).unwrap();
        assert_ne!(own, page);
        assert!(!a.is_shared(page));
        assert_eq!((ledger.shared(), ledger.free()), (0, 2));
        a.give_back(page);
        b.give_back(own);
        assert_eq!(ledger.free(), 4);
    }
}
