//! The ledger: which pages are free, how many owners the others have, how many are promised.
//!
//! Nothing is taken that was not promised: a sequence gets a [`Grant`] for the pages it may hold, which can grow, and
//! the grants of all sequences together never exceed the pool. Since a page is held under at least one grant,
//! `distinct pages held <= sum of held <= sum of grants <= total`, so taking a page within a grant never fails, and
//! neither does copying a shared page (a shared page is counted in every grant that holds it).
//!
//! Pages of the prefix cache are the exception: they are *lent*. A lent page counts in the grant of the cache that lends
//! it and in no other, however many sequences hold it; who wants to write one takes a page of its own first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{KvError, PageId};

#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) free: Vec<PageId>, // stack: the page freed last is the one still in cache
    pub(crate) owners: Vec<u32>,  // [total]
    pub(crate) lent: Vec<bool>,   // [total], charged to the prefix cache, which is one of the owners
    committed: usize,
    shared: usize, // pages that more than one sequence holds
}

impl Books {
    /// Sequences that hold a page.
    pub(crate) fn holders(&self, page: PageId) -> u32 {
        self.owners[page as usize] - u32::from(self.lent[page as usize])
    }

    fn add_holder(&mut self, page: PageId) {
        self.owners[page as usize] += 1;
        self.shared += usize::from(self.holders(page) == 2);
    }

    /// One holder less; the page is free once its last owner has gone.
    fn drop_holder(&mut self, page: PageId) {
        self.shared -= usize::from(self.holders(page) == 2);
        let owners = &mut self.owners[page as usize];
        *owners -= 1;
        if *owners == 0 {
            self.free.push(page);
        }
    }

    fn take_free(&mut self) -> Result<PageId, KvError> {
        let total = self.owners.len();
        let page = self.free.pop().ok_or(KvError::OutOfPages { needed: 1, available: 0, total })?;
        self.owners[page as usize] = 1;
        Ok(page)
    }
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
        let books = Books { free, owners: vec![0; total], lent: vec![false; total], committed: 0, shared: 0 };
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

    /// Pages that more than one sequence holds.
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

    /// Pages promised and not held.
    pub fn room(&self) -> usize {
        self.pages - self.held
    }

    /// Pages now held under this grant; lent ones are not among them.
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
        let page = self.ledger.books().take_free()?;
        self.held += 1;
        Ok(page)
    }

    /// One more holder for a page that another sequence holds; free of charge where it is lent.
    pub(crate) fn share(&mut self, page: PageId) -> Result<(), KvError> {
        let mut books = self.ledger.books();
        if !books.lent[page as usize] {
            if self.held == self.pages {
                return Err(KvError::GrantSpent { pages: self.pages });
            }
            self.held += 1;
        }
        books.add_holder(page);
        Ok(())
    }

    /// True when somebody else holds the page too, so that it must not be written.
    pub(crate) fn is_shared(&self, page: PageId) -> bool {
        self.ledger.books().owners[page as usize] > 1
    }

    /// Whether the page is the prefix cache's, so that writing it takes one more of our own.
    pub(crate) fn is_lent(&self, page: PageId) -> bool {
        self.ledger.books().lent[page as usize]
    }

    /// Swaps a shared page for a fresh one of our own.
    pub(crate) fn exchange(&mut self, shared: PageId) -> Result<PageId, KvError> {
        let mut books = self.ledger.books();
        let charge = usize::from(books.lent[shared as usize]);
        if self.held + charge > self.pages {
            return Err(KvError::GrantSpent { pages: self.pages });
        }
        let fresh = books.take_free()?;
        books.drop_holder(shared);
        drop(books);
        self.held += charge;
        Ok(fresh)
    }

    /// Returns a page; it is free once its last owner has done so.
    pub(crate) fn give_back(&mut self, page: PageId) {
        let mut books = self.ledger.books();
        let charged = !books.lent[page as usize];
        books.drop_holder(page);
        drop(books);
        self.held -= usize::from(charged);
    }

    /// Makes pages that `from` alone holds lent ones: charged to this grant, and still held by the sequence of `from`. False,
    /// and nothing is changed, where one of them has another owner.
    pub(crate) fn adopt(&mut self, from: &mut Grant, pages: &[PageId]) -> bool {
        let mut books = self.ledger.books();
        if pages.iter().any(|&p| books.owners[p as usize] != 1 || books.lent[p as usize]) {
            return false;
        }
        for &page in pages {
            books.owners[page as usize] = 2;
            books.lent[page as usize] = true;
        }
        drop(books);
        from.held -= pages.len();
        from.pages -= pages.len();
        self.held += pages.len();
        self.pages += pages.len();
        true
    }

    /// Frees lent pages of this grant that no sequence holds, and the promise with them. False, and nothing is changed, where
    /// one of them is held.
    pub(crate) fn drop_lent(&mut self, pages: &[PageId]) -> bool {
        let mut books = self.ledger.books();
        if pages.iter().any(|&p| books.owners[p as usize] != 1) {
            return false;
        }
        for &page in pages {
            books.lent[page as usize] = false;
            books.owners[page as usize] = 0;
            books.free.push(page);
        }
        books.committed -= pages.len();
        drop(books);
        self.held -= pages.len();
        self.pages -= pages.len();
        true
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        debug_assert_eq!(self.held, 0, "a grant outlived by its pages");
        self.ledger.books().committed -= self.pages;
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
