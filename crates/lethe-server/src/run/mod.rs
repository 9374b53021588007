//! Requests while the engine works on them: submitted, followed, told.

pub(crate) mod answer;
pub(crate) mod chunks;
pub(crate) mod feed;
pub(crate) mod identity;
pub(crate) mod stream;
pub(crate) mod submit;
