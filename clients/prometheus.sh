#!/usr/bin/env bash
# A real Prometheus scrapes a real server, and finds what dashboards ask for. Needs `prometheus` and `promtool` (Debian's package).
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${LETHE_BIN:-target/release/lethe}
work=$(mktemp -d)
trap 'kill $(jobs -p) 2> /dev/null || true; wait; rm -rf "$work"' EXIT
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port) own=$(free_port)

"$binary" serve --port "$port" --kv-memory 32MiB --max-num-seqs 2 &
until curl -sf "http://127.0.0.1:$port/ready" > /dev/null; do sleep 0.2; done
# two at once and long enough to forget, then a question that the prefix cache knows
prompt=$(printf 'Sort 41 7 93 20. %.0s' {1..16})
ask() {
  curl -sf "http://127.0.0.1:$port/v1/completions" -H 'content-type: application/json' -d '{"prompt": "'"$prompt"'", "max_tokens": 200, "ignore_eos": true, "temperature": 0, "kv_policy": {"name": "lethe", "budget": 48, "trigger": "cap", "interval": 8}}' > /dev/null
}
ask & first=$!
ask & second=$!
wait $first $second
ask

cat > "$work/prometheus.yml" <<YML
scrape_configs:
  - job_name: lethe
    scrape_interval: 1s
    static_configs: [{ targets: ["127.0.0.1:$port"] }]
YML
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" --web.listen-address="127.0.0.1:$own" --log.level=error &
value() { # of an expression, once it has one
  for _ in $(seq 100); do
    answer=$(curl -sf "http://127.0.0.1:$own/api/v1/query" --data-urlencode "query=$1" || true)
    number=$(python3 -c 'import json, sys
result = json.loads(sys.argv[1] or "{}").get("data", {}).get("result", [])
print(result[0]["value"][1] if result else "")' "$answer")
    if [ -n "$number" ]; then echo "$number"; return; fi
    sleep 0.2
  done
  echo "prometheus: nothing for $1" >&2
  return 1
}
above() { # expression bound
  number=$(value "$1")
  python3 -c 'import sys; sys.exit(not float(sys.argv[1]) > float(sys.argv[2]))' "$number" "$2" || { echo "prometheus: $1 is $number, not above $2"; exit 1; }
  echo "prometheus: $1 = $number"
}
above 'up{job="lethe"}' 0.5
above 'lethe_kv_pages_total' 10
above 'lethe_rounds_total' 1
above 'lethe_evicted_slots_total' 100
above 'lethe_prefix_hit_tokens_total' 15
above 'count(lethe_kv_slots)' 5
above 'lethe_dropped_mass_count' 1
above 'vllm:generation_tokens_total{model_name="reasoner-s"}' 599
above 'vllm:time_to_first_token_seconds_count{model_name="reasoner-s"}' 2
above 'vllm:inter_token_latency_seconds_count{model_name="reasoner-s"}' 100
above 'vllm:prefix_cache_hits_total / vllm:prefix_cache_queries_total' 0.1
above '1 - vllm:kv_cache_usage_perc' 0.5
above '1 + vllm:num_requests_running + vllm:num_requests_waiting' 0.5
# every query of the dashboard is one that Prometheus understands and has data for
python3 - docs/grafana.json <<'PY' | while IFS= read -r query; do above "count($query) or vector(0)" -1; done
import json, sys
for panel in json.load(open(sys.argv[1]))["panels"]:
    for target in panel.get("targets", []):
        print(target["expr"].replace("$__rate_interval", "30s"))
PY
