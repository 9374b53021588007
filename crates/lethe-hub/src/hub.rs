//! Names to models: the cache first, then the hub.

use std::path::{Path, PathBuf};

use crate::attempts::Attempts;
use crate::cached::{self, CachedModel};
use crate::download::{Job, download};
use crate::error::HubError;
use crate::event::{Event, Progress};
use crate::found::{Found, FoundKind};
use crate::http::{Client, Failure, Subject};
use crate::layout::{Layout, has};
use crate::listing::{Listing, RepoFile};
use crate::lock;
use crate::lookup::{found, look_up, with_shards};
use crate::options::HubOptions;
use crate::reference::{HubRef, ModelRef, RepoId};
use crate::select::{CONFIG, INDEX, Shape, edit_distance, select};

/// The largest list of files that is read; the hub's largest are a few megabytes.
const MAX_LIST: u64 = 64 << 20;

/// Finds models by name. It may be shared among threads, and any number of processes may use one cache.
#[derive(Debug)]
pub struct Hub {
    options: HubOptions,
    client: Client,
}

impl Hub {
    /// A hub with these options. Makes no request and touches no file.
    ///
    /// # Errors
    /// [`HubError::BadSetting`] for an endpoint or a token that cannot be sent.
    pub fn new(options: HubOptions) -> Result<Self, HubError> {
        let client = Client::new(&options)?;
        Ok(Self { options, client })
    }

    /// The options.
    pub fn options(&self) -> &HubOptions {
        &self.options
    }

    /// Finds a model, in the cache or on the hub, and fetches what the cache lacks of it.
    ///
    /// # Errors
    /// A [`HubError`] that says what to do. What has arrived until then stays, and the next call continues there.
    pub fn resolve(&self, model: &ModelRef, progress: &mut Progress<'_>) -> Result<Found, HubError> {
        match model {
            ModelRef::Local(path) => local(path),
            ModelRef::Hub(at) => self.find(at, progress),
        }
    }

    /// The `config.json` of a repository, for whoever wants to know a model's shape without its weights.
    ///
    /// # Errors
    /// As [`Hub::file`].
    pub fn config_json(&self, at: &HubRef, progress: &mut Progress<'_>) -> Result<PathBuf, HubError> {
        self.file(at, CONFIG, progress)
    }

    /// One file of a repository by its exact name; which model is wanted does not matter.
    ///
    /// # Errors
    /// As [`Hub::resolve`], and [`HubError::FileNotFound`].
    pub fn file(&self, at: &HubRef, name: &str, progress: &mut Progress<'_>) -> Result<PathBuf, HubError> {
        crate::names::file(name)?;
        let layout = self.layout(&at.repo);
        if (!self.options.refresh || self.options.offline)
            && let Some(commit) = layout.commit(&at.revision)
        {
            let path = layout.pointer(&commit, name);
            let size = layout.listing(&commit).and_then(|listing| listing.file(name).map(|file| file.size));
            if size.map_or(path.is_file(), |size| has(&path, size)) {
                return Ok(path);
            }
        }
        if self.options.offline {
            return Err(self.offline(at, name.to_owned()));
        }
        let listing = self.list(&layout, at, progress)?;
        let Some(file) = listing.file(name) else {
            return Err(HubError::FileNotFound {
                repo: at.repo.clone(),
                file: name.to_owned(),
                near: near(&listing, name),
            });
        };
        self.fetch_all(&layout, at, &listing, &[file], progress)?;
        self.point(&layout, at, &listing)?;
        Ok(layout.pointer(&listing.commit, name))
    }

    /// What the cache holds. Makes no request.
    ///
    /// # Errors
    /// A cache that is there and cannot be read.
    pub fn cached(&self) -> Result<Vec<CachedModel>, HubError> {
        cached::list(&self.options.cache)
    }

    fn layout(&self, repo: &RepoId) -> Layout {
        Layout::new(&self.options.cache, repo, self.options.symlinks)
    }

    fn find(&self, at: &HubRef, progress: &mut Progress<'_>) -> Result<Found, HubError> {
        let layout = self.layout(&at.repo);
        if self.options.offline {
            return look_up(&layout, at, false).map_err(|missing| self.offline(at, missing));
        }
        if !self.options.refresh
            && let Ok(found) = look_up(&layout, at, true)
        {
            return Ok(found);
        }
        let listing = self.list(&layout, at, progress)?;
        let mut selection = select(&listing.sizes(), &at.wanted)
            .map_err(|source| HubError::Select { repo: at.repo.clone(), source })?;
        if selection.shape == Shape::IndexedFolder {
            let index = files(&listing, &[INDEX.to_owned()], &layout)?;
            self.fetch_all(&layout, at, &listing, &index, progress)?;
            selection = with_shards(&layout, &listing.commit, selection)?;
        }
        let chosen = files(&listing, &selection.files, &layout)?;
        self.fetch_all(&layout, at, &listing, &chosen, progress)?;
        self.point(&layout, at, &listing)?;
        Ok(found(&layout, at, &listing.commit, &selection))
    }

    /// What the repository holds now.
    fn list(&self, layout: &Layout, at: &HubRef, progress: &mut Progress<'_>) -> Result<Listing, HubError> {
        progress(Event::Listing { at });
        let url = self.client.list_url(at);
        let subject = Subject { at, file: None };
        let mut attempts = Attempts::new(&self.options);
        let bytes = loop {
            let body = self.client.get(&url, None, subject).and_then(|answer| {
                answer.into_body().into_with_config().limit(MAX_LIST).read_to_vec().map_err(Failure::cut)
            });
            match body {
                Ok(bytes) => break bytes,
                Err(failure) => attempts.failed(&url, subject.name(), failure, progress)?,
            }
        };
        let listing = Listing::from_answer(&url, &bytes)?;
        if at.revision.is_commit() && at.revision.as_str() != listing.commit {
            let reason = format!("asked for commit {} it lists {}", at.revision, listing.commit);
            return Err(HubError::BadAnswer { url, reason });
        }
        if listing.whole {
            layout.set_listing(&listing)?;
        }
        Ok(listing)
    }

    fn fetch_all(
        &self,
        layout: &Layout,
        at: &HubRef,
        listing: &Listing,
        files: &[&RepoFile],
        progress: &mut Progress<'_>,
    ) -> Result<(), HubError> {
        let lacks = |file: &&&RepoFile| !layout.holds(&listing.commit, &file.name, file.size);
        let missing: Vec<&RepoFile> = files.iter().filter(lacks).copied().collect();
        if !missing.is_empty() {
            // Sizes are the server's word until the bytes are there.
            let bytes = missing.iter().fold(0, |sum: u64, file| sum.saturating_add(file.size));
            progress(Event::Selected { files: missing.len(), bytes });
        }
        for file in missing {
            self.fetch(layout, at, listing, file, progress).map_err(|error| with_near(error, listing))?;
        }
        Ok(())
    }

    /// One file into the snapshot.
    fn fetch(
        &self,
        layout: &Layout,
        at: &HubRef,
        listing: &Listing,
        file: &RepoFile,
        progress: &mut Progress<'_>,
    ) -> Result<(), HubError> {
        let (name, id) = (file.name.as_str(), file.blob());
        let blob = layout.blob(id);
        let _lock = lock::take(&layout.lock(id), &mut || progress(Event::Waiting { name }))?;
        if !has(&blob, file.size) {
            let url = self.client.file_url(&at.repo, &listing.commit, name);
            let subject = Subject { at, file: Some(name) };
            let job = Job { file, url: &url, subject, partial: &layout.partial(id), blob: &blob };
            download(&self.client, &job, Attempts::new(&self.options), progress)?;
        }
        layout.link(&listing.commit, name, id)?;
        progress(Event::Done { name, size: file.size });
        Ok(())
    }

    /// Lets the revision name the commit. What the commit it named before shares with it moves along: no model that
    /// could be had offline is lost to an update of another.
    fn point(&self, layout: &Layout, at: &HubRef, listing: &Listing) -> Result<(), HubError> {
        let before = layout.commit(&at.revision).filter(|commit| *commit != listing.commit);
        for old in before.map(|commit| layout.files(&commit)).unwrap_or_default() {
            if let Some(file) = listing.file(&old.name)
                && has(&layout.blob(file.blob()), file.size)
            {
                layout.link(&listing.commit, &file.name, file.blob())?;
            }
        }
        layout.set_commit(&at.revision, &listing.commit)
    }

    fn offline(&self, at: &HubRef, missing: String) -> HubError {
        let cached = cached::of_repo(&self.options.cache, at.repo.clone());
        let runnable = cached.revisions.iter().flat_map(|revision| &revision.runnable);
        let have = runnable.map(|model| model.reference.to_string()).collect();
        HubError::Offline { at: Box::new(at.clone()), missing, cache: self.options.cache.clone(), have }
    }
}

fn local(path: &Path) -> Result<Found, HubError> {
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(HubError::NoSuchPath { path: path.to_owned() });
        }
        metadata => metadata.map_err(HubError::at(path))?,
    };
    let kind = if metadata.is_dir() { FoundKind::Folder } else { FoundKind::File };
    Ok(Found { path: path.to_owned(), kind, files: Vec::new(), origin: None })
}

/// The listed files of these names. Only an index can name one that is not listed.
fn files<'a>(listing: &'a Listing, names: &[String], layout: &Layout) -> Result<Vec<&'a RepoFile>, HubError> {
    let file = |name: &String| {
        listing.file(name).ok_or_else(|| HubError::BadIndex {
            path: layout.pointer(&listing.commit, INDEX),
            reason: format!("it names {name}, which the repository does not have; tell its authors"),
        })
    };
    names.iter().map(file).collect()
}

/// The three listed names that take the fewest edits to reach `name`.
fn near(listing: &Listing, name: &str) -> Vec<String> {
    let mut names: Vec<&str> =
        listing.files.iter().map(|file| file.name.as_str()).filter(|other| *other != name).collect();
    names.sort_by_cached_key(|other| edit_distance(name, other));
    names.into_iter().take(3).map(str::to_owned).collect()
}

/// A file that is listed and yet not there.
fn with_near(error: HubError, listing: &Listing) -> HubError {
    match error {
        HubError::FileNotFound { repo, file, .. } => {
            let near = near(listing, &file);
            HubError::FileNotFound { repo, file, near }
        }
        other => other,
    }
}
