"""What the speed scripts of the other engines share: how decoding is timed, and the row that comes out."""
import json, resource, statistics

WINDOW, WARM = 32, 8  # tokens that are timed at once, and those before that are not


def show(rates, **fields):
    """Prints a row in the terms of `lethe bench --json`; `rates` are the tokens per second of the windows."""
    print(json.dumps(dict(
        **fields, new=len(rates) * WINDOW, decode_tok_s=round(statistics.median(rates), 2), decode_tok_s_min=round(min(rates), 2),
        decode_tok_s_max=round(max(rates), 2),
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)), flush=True)
