//! `/v1/loads`: how busy the server is, in the shape that routers of SGLang read, with the cache beside it.

use serde::Serialize;
use utoipa::ToSchema;

/// How busy the server is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Loads {
    /// Seconds since 1970.
    pub(crate) timestamp: f64,
    /// Of Lethe.
    pub(crate) version: &'static str,
    /// 1: there is one engine.
    pub(crate) dp_rank_count: u32,
    /// The one engine.
    pub(crate) loads: Vec<RankLoad>,
    /// The same, summed over engines.
    pub(crate) aggregate: AggregateLoad,
}

/// How busy an engine is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct RankLoad {
    /// 0.
    pub(crate) dp_rank: u32,
    /// Requests that run.
    pub(crate) num_running_reqs: u64,
    /// Requests that wait, preempted ones among them.
    pub(crate) num_waiting_reqs: u64,
    /// Both.
    pub(crate) num_total_reqs: u64,
    /// Slots of a layer that are held, evenly divided.
    pub(crate) num_used_tokens: u64,
    /// Slots of a layer that the pool holds, evenly divided.
    pub(crate) max_total_num_tokens: u64,
    /// Share of the pool that is held.
    pub(crate) token_usage: f64,
    /// Share of prompt tokens that the prefix cache had.
    pub(crate) cache_hit_rate: f64,
    /// Running requests as a share of the most that may run.
    pub(crate) utilization: f64,
    /// Most requests that run at once.
    pub(crate) max_running_requests: u64,
    /// What only Lethe has.
    pub(crate) lethe: CacheLoad,
}

/// The cache.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CacheLoad {
    /// Slots of each layer, summed over the requests that run.
    pub(crate) slots: Vec<u64>,
    /// Pages that nobody holds.
    pub(crate) pages_free: u64,
    /// All pages.
    pub(crate) pages_total: u64,
    /// Pages of the prefix cache.
    pub(crate) cached_pages: u64,
    /// Requests set aside for want of memory.
    pub(crate) preempted: u64,
    /// Sessions kept between turns.
    pub(crate) kept: u64,
    /// Prompt tokens computed so far.
    pub(crate) prompt_tokens_total: u64,
    /// Tokens generated so far.
    pub(crate) generated_tokens_total: u64,
    /// Prompt tokens looked up in the prefix cache so far.
    pub(crate) prefix_queries_total: u64,
    /// Those found there.
    pub(crate) prefix_hits_total: u64,
    /// Times so far that a request was set aside.
    pub(crate) preemptions_total: u64,
    /// Prunings of layers so far.
    pub(crate) rounds_total: u64,
    /// Slots forgotten so far.
    pub(crate) evicted_slots_total: u64,
    /// Steps so far.
    pub(crate) steps_total: u64,
}

/// Sums over engines.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AggregateLoad {
    /// Requests that run.
    pub(crate) total_running_reqs: u64,
    /// Requests that wait.
    pub(crate) total_waiting_reqs: u64,
    /// Both.
    pub(crate) total_reqs: u64,
    /// Slots of a layer that are held.
    pub(crate) total_used_tokens: u64,
    /// Slots of a layer that there are.
    pub(crate) total_tokens: u64,
    /// Mean share of the pool that is held.
    pub(crate) avg_token_usage: f64,
    /// Mean utilization.
    pub(crate) avg_utilization: f64,
}
