//! Ctrl-C: once stops the answer that is being generated, once more ends the program.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;
use signal_hook::flag;

/// What Ctrl-C does. Until it is installed, what it does in any program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt {
    /// Set by the signal; a signal that finds it set ends the program.
    pressed: Arc<AtomicBool>,
}

impl Interrupt {
    /// From now on the signal is ours.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn install() -> io::Result<Interrupt> {
        let interrupt = Interrupt::default();
        // In this order: the first signal must not find the flag that it sets.
        flag::register_conditional_shutdown(SIGINT, 128 + SIGINT, Arc::clone(&interrupt.pressed))?;
        flag::register(SIGINT, Arc::clone(&interrupt.pressed))?;
        Ok(interrupt)
    }

    /// An answer begins or ends: what was pressed before is not meant for what comes.
    pub(crate) fn forget(&self) {
        self.pressed.store(false, Ordering::SeqCst);
    }

    /// Whether it was pressed since then.
    pub(crate) fn pressed(&self) -> bool {
        self.pressed.load(Ordering::SeqCst)
    }

    /// Nothing runs that could be stopped: the next one ends the program.
    pub(crate) fn waiting(&self) {
        self.pressed.store(true, Ordering::SeqCst);
    }
}
