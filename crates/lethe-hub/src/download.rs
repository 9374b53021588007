//! One file from the hub to its blob, however often the connection breaks.

use std::io::Read;
use std::path::Path;

use ureq::Body;
use ureq::http::{Response, header};

use crate::attempts::Attempts;
use crate::error::HubError;
use crate::event::{Event, Progress};
use crate::http::{Client, Failure, Subject};
use crate::listing::RepoFile;
use crate::partial::Partial;

/// Read, hashed and written at a time.
const CHUNK: usize = 256 << 10;

/// Where a file comes from and where it goes.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) file: &'a RepoFile,
    pub(crate) url: &'a str,
    pub(crate) subject: Subject<'a>,
    pub(crate) partial: &'a Path,
    pub(crate) blob: &'a Path,
}

/// Why a stretch of a download ended early.
enum Stop {
    /// The server or the connection.
    Remote(Failure),
    /// The disk, or bytes that cannot be right.
    Local(HubError),
}

impl From<HubError> for Stop {
    fn from(error: HubError) -> Self {
        Self::Local(error)
    }
}

/// Downloads, checks, and moves into place. The blob's lock must be held.
pub(crate) fn download(
    client: &Client,
    job: &Job<'_>,
    mut attempts: Attempts,
    progress: &mut Progress<'_>,
) -> Result<(), HubError> {
    let (name, size) = (job.file.name.as_str(), job.file.size);
    let mut partial = Partial::open(job.partial, job.file)?;
    progress(Event::Started { name, size, resumed_from: partial.done() });
    while partial.done() < size {
        let from = Some(partial.done()).filter(|done| *done > 0);
        let answer = client.get(job.url, from, job.subject).map_err(Stop::Remote);
        match answer.and_then(|answer| receive(job, &mut partial, answer, &mut attempts, progress)) {
            Ok(()) => {}
            Err(Stop::Local(error)) => return Err(error),
            Err(Stop::Remote(failure)) => attempts.failed(job.url, name, failure, progress)?,
        }
    }
    partial.finish(job.blob)
}

/// Takes what one answer brings.
fn receive(
    job: &Job<'_>,
    partial: &mut Partial<'_>,
    answer: Response<Body>,
    attempts: &mut Attempts,
    progress: &mut Progress<'_>,
) -> Result<(), Stop> {
    let (name, size) = (job.file.name.as_str(), job.file.size);
    let status = answer.status().as_u16();
    let continues = status == 206 && range_start(&answer) == Some(partial.done());
    if !continues && partial.done() > 0 {
        partial.restart()?;
        progress(Event::Restarted { name });
    }
    if status == 416 || (status == 206 && !continues) {
        return Err(Stop::Remote(Failure::cut("the server does not continue the file where it was left")));
    }
    let body = answer.into_body();
    if body.content_length().is_some_and(|rest| rest > size - partial.done()) {
        return Err(partial.too_long().into());
    }
    let mut reader = body.into_reader();
    let mut buffer = vec![0; CHUNK];
    while partial.done() < size {
        match reader.read(&mut buffer) {
            Ok(0) => {
                let reason = format!("the connection ended after {} of {size} bytes", partial.done());
                return Err(Stop::Remote(Failure::cut(reason)));
            }
            Ok(read) => {
                partial.append(&buffer[..read])?;
                attempts.gained(read as u64);
                progress(Event::Bytes { name, done: partial.done(), size });
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                let reason = format!("the connection broke after {} of {size} bytes: {error}", partial.done());
                return Err(Stop::Remote(Failure::cut(reason)));
            }
        }
    }
    Ok(())
}

/// Where the bytes of a 206 begin.
fn range_start(answer: &Response<Body>) -> Option<u64> {
    let range = answer.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.trim().strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}
