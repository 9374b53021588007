//! The engine as callers use it: a thread that steps, and streams of events.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use lethe_model::{Backend, Model};
use lethe_policy::Context;

use crate::core::Core;
use crate::event::{Event, Failure};
use crate::load::{Load, Meter};
use crate::options::{EngineError, EngineOptions};
use crate::request::{Generation, Request, SubmitError};
use crate::sequence::{Shared, Sink};

/// How long nothing must happen before the books are checked.
const QUIET: Duration = Duration::from_millis(500);

/// Hears whether a request was taken.
type Reply = Box<dyn FnOnce(Result<Handle, SubmitError>) + Send>;

enum Command {
    Submit {
        id: u64,
        request: Box<Request>,
        sink: Sink,
        reply: Reply,
    },
    Append {
        session: u64,
        prompt: Vec<u32>,
        generation: Box<Generation>,
        sink: Sink,
        reply: Reply,
    },
    Resume {
        session: u64,
        prompt: Vec<u32>,
        system_tokens: usize,
        generation: Box<Generation>,
        sink: Sink,
        reply: Reply,
    },
    Release {
        session: u64,
        reply: Sender<bool>,
    },
    ClearPrefixCache(Sender<usize>),
    Pages(Sender<(usize, usize)>),
    Check(Sender<Result<(), String>>),
}

/// A running engine. Dropping it ends every request.
pub struct Engine {
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    next_id: AtomicU64,
    context: Context,
    pool_bytes: u64,
    meter: Arc<Meter>,
}

impl Engine {
    /// Starts an engine for a model.
    ///
    /// # Errors
    /// [`EngineError`] when the pool is too small or a limit is zero.
    pub fn start<B: Backend>(model: Arc<Model<B>>, options: EngineOptions) -> Result<Engine, EngineError> {
        let core = Core::new(model, options)?;
        let (context, pool_bytes, meter) = (core.context(), core.pool_bytes(), Arc::clone(&core.meter));
        core.publish();
        let (commands, inbox) = channel();
        let thread = std::thread::Builder::new()
            .name("lethe-engine".into())
            .spawn(move || run(core, &inbox))
            .map_err(|e| EngineError::Thread(e.to_string()))?;
        let next_id = AtomicU64::new(1);
        Ok(Engine { commands: Some(commands), thread: Some(thread), next_id, context, pool_bytes, meter })
    }

    /// What policies are told of memory and model.
    pub fn context(&self) -> Context {
        self.context
    }

    /// Bytes of the KV pool.
    pub fn pool_bytes(&self) -> u64 {
        self.pool_bytes
    }

    /// How things stand now. Never waits for a step.
    pub fn load(&self) -> Load {
        self.meter.load()
    }

    /// Queues a request and returns its events.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was queued.
    pub fn submit(&self, request: Request) -> Result<Stream, SubmitError> {
        self.stream(|sink, reply| self.post(request, reply, sink))
    }

    /// [`Engine::submit`] for callers that must not wait: `reply` hears between two steps whether the request was taken, `sink`
    /// gets its events. Both are called on the engine's thread, which stands still until they return.
    ///
    /// # Errors
    /// [`SubmitError::Stopped`]; neither is called then.
    pub fn post(
        &self,
        request: Request,
        reply: impl FnOnce(Result<Handle, SubmitError>) + Send + 'static,
        sink: impl FnMut(Event) + Send + Sync + 'static,
    ) -> Result<(), SubmitError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (request, sink, reply) = (Box::new(request), Box::new(sink), Box::new(reply));
        self.send(Command::Submit { id, request, sink, reply })
    }

    /// A further turn of a kept session: only what is new, read after all that the cache still holds.
    ///
    /// # Errors
    /// [`SubmitError`]; the session is as before.
    pub fn append(&self, session: u64, prompt: Vec<u32>, generation: Generation) -> Result<Stream, SubmitError> {
        let generation = Box::new(generation);
        self.stream(|sink, reply| self.send(Command::Append { session, prompt, generation, sink, reply }))
    }

    /// A further turn of a kept session, whose `prompt` is the whole conversation as a chat template renders it, the first
    /// `system_tokens` of it the system message. The front of it that the session holds complete is not computed again;
    /// output and report are those of a new request with the session's policy, bit for bit.
    ///
    /// # Errors
    /// [`SubmitError`]; the session is as before.
    pub fn resume(
        &self,
        session: u64,
        prompt: Vec<u32>,
        system_tokens: usize,
        generation: Generation,
    ) -> Result<Stream, SubmitError> {
        let generation = Box::new(generation);
        self.stream(|sink, reply| {
            self.send(Command::Resume { session, prompt, system_tokens, generation, sink, reply })
        })
    }

    /// Events through a channel, once the engine has taken what `ask` sends it.
    fn stream(&self, ask: impl FnOnce(Sink, Reply) -> Result<(), SubmitError>) -> Result<Stream, SubmitError> {
        let ((events, inbox), (reply, answer)) = (channel(), channel());
        ask(
            // Whoever asked may be gone; the answer is then of no use to anyone.
            Box::new(move |event| drop(events.send(event))),
            Box::new(move |taken| drop(reply.send(taken))),
        )?;
        let handle = answer.recv().map_err(|_| SubmitError::Stopped)??;
        Ok(Stream { handle, events: inbox })
    }

    /// Forgets a kept session. Returns whether there was one.
    ///
    /// # Errors
    /// [`SubmitError::Stopped`].
    pub fn release(&self, session: u64) -> Result<bool, SubmitError> {
        self.ask(|reply| Command::Release { session, reply })
    }

    /// Pages that nobody holds, and all pages.
    ///
    /// # Errors
    /// [`SubmitError::Stopped`].
    pub fn pages(&self) -> Result<(usize, usize), SubmitError> {
        self.ask(Command::Pages)
    }

    /// Checks every page and every cache.
    ///
    /// # Errors
    /// [`SubmitError::Stopped`]; the inner one is a sentence that says what is broken.
    pub fn check_integrity(&self) -> Result<Result<(), String>, SubmitError> {
        self.ask(Command::Check)
    }

    /// Forgets every prompt in the prefix cache that no sequence is using. Returns the pages that are free now and were not.
    ///
    /// # Errors
    /// [`SubmitError::Stopped`].
    pub fn clear_prefix_cache(&self) -> Result<usize, SubmitError> {
        self.ask(Command::ClearPrefixCache)
    }

    fn ask<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> Result<T, SubmitError> {
        let (reply, answer) = channel();
        self.send(command(reply))?;
        answer.recv().map_err(|_| SubmitError::Stopped)
    }

    fn send(&self, command: Command) -> Result<(), SubmitError> {
        let commands = self.commands.as_ref().ok_or(SubmitError::Stopped)?;
        commands.send(command).map_err(|_| SubmitError::Stopped)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was told to every caller already.
            let _ = thread.join();
        }
    }
}

fn run<B: Backend>(mut core: Core<B>, inbox: &Receiver<Command>) {
    let mut checked = true;
    loop {
        checked &= core.idle();
        let next = if core.idle() { rest(&core, inbox, &mut checked) } else { inbox.try_recv() };
        if matches!(next, Err(TryRecvError::Disconnected)) {
            core.abandon(&Failure::Stopped, true);
            return;
        }
        // A panic is a defect, but one that must not take the other requests or the thread with it.
        let worked = catch_unwind(AssertUnwindSafe(|| match next {
            Ok(command) => obey(&mut core, command),
            Err(_) => {
                core.step();
            }
        }));
        if let Err(panic) = worked {
            let why = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
                .unwrap_or_else(|| "unknown panic".to_owned());
            core.abandon(&Failure::Panicked(why), false);
        }
    }
}

/// Waits for a command while there is nothing to do. After a while the books are checked, once, if that was not done since the
/// last step.
fn rest<B: Backend>(core: &Core<B>, inbox: &Receiver<Command>, checked: &mut bool) -> Result<Command, TryRecvError> {
    let ended = |_| TryRecvError::Disconnected;
    if *checked {
        return inbox.recv().map_err(ended);
    }
    match inbox.recv_timeout(QUIET) {
        Ok(command) => return Ok(command),
        Err(RecvTimeoutError::Disconnected) => return Err(TryRecvError::Disconnected),
        Err(RecvTimeoutError::Timeout) => {}
    }
    Meter::add(&core.meter.integrity_failures, usize::from(core.check_integrity().is_err()));
    Meter::add(&core.meter.integrity_checks, 1);
    *checked = true;
    inbox.recv().map_err(ended)
}

fn obey<B: Backend>(core: &mut Core<B>, command: Command) {
    let handle = |id, taken: Result<Arc<Shared>, SubmitError>| taken.map(|shared| Handle { id, shared });
    match command {
        Command::Submit { id, request, sink, reply } => reply(handle(id, core.enqueue(id, *request, sink))),
        Command::Append { session, prompt, generation, sink, reply } => {
            reply(handle(session, core.enqueue_turn(session, prompt, *generation, sink)));
        }
        Command::Resume { session, prompt, system_tokens, generation, sink, reply } => {
            reply(handle(session, core.enqueue_resumed(session, prompt, system_tokens, *generation, sink)));
        }
        // Whoever asked may be gone; the answer is then of no use to anyone.
        Command::Release { session, reply } => drop(reply.send(core.release(session))),
        Command::ClearPrefixCache(reply) => drop(reply.send(core.clear_prefix_cache())),
        Command::Pages(reply) => drop(reply.send(core.pages())),
        Command::Check(reply) => drop(reply.send(core.check_integrity())),
    }
    core.publish();
}

/// A request that was taken: to watch it and to give it up. Dropping it does neither.
#[derive(Clone, Debug)]
pub struct Handle {
    id: u64,
    shared: Arc<Shared>,
}

impl Handle {
    /// The request's id, and the session's when it is kept.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Gives up; the last event still comes.
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::Relaxed);
    }

    /// Slots of each layer after the latest step. `[layers]`
    pub fn slots(&self) -> Vec<usize> {
        self.shared.slots.iter().map(|s| s.load(Ordering::Relaxed)).collect()
    }
}

/// The events of one turn, in order; the last is [`Event::Finished`] or [`Event::Failed`]. Dropping it before
/// the end cancels, and no session is kept.
#[derive(Debug)]
pub struct Stream {
    handle: Handle,
    events: Receiver<Event>,
}

impl Stream {
    /// The request's id, and the session's when it is kept.
    pub fn id(&self) -> u64 {
        self.handle.id
    }

    /// Gives up; the last event still comes.
    pub fn cancel(&self) {
        self.handle.cancel();
    }

    /// The rest of the events, at once: waits for the end.
    pub fn into_events(mut self) -> Vec<Event> {
        self.by_ref().collect()
    }

    /// Slots of each layer after the latest step. `[layers]`
    pub fn slots(&self) -> Vec<usize> {
        self.handle.slots()
    }
}

impl Iterator for Stream {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.events.recv().ok()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.handle.shared.abandoned.store(true, Ordering::Relaxed);
        self.cancel();
    }
}
