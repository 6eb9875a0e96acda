"""What a cluster scheduler asks: which of these allocations trains the most tokens for its money?

Questions are independent and share nothing, so threads may ask them at once.
"""

from concurrent.futures import ThreadPoolExecutor

import meshwright as mw

ALLOCATIONS = [("dgx-a100", 16), ("dgx-h100", 8), ("dgx-h100", 16), ("dgx-b200", 8)]


def tokens_per_dollar(allocation: tuple[str, int]) -> float:
    """Tokens that one US dollar trains; 0 if nothing fits or no price is known."""
    cluster, gpus = allocation
    answer = mw.plan("llama-3-8b", cluster, gpus=gpus, global_batch=128, seq_len=8192, top=1)
    if not answer.is_feasible or not answer.best.cost_usd:
        return 0.0
    return answer.best.tokens_per_s * answer.best.step_time_s / answer.best.cost_usd


with ThreadPoolExecutor() as pool:
    values = dict(zip(ALLOCATIONS, pool.map(tokens_per_dollar, ALLOCATIONS), strict=True))
for (cluster, gpus), value in sorted(values.items(), key=lambda item: -item[1]):
    print(f"{cluster:10} {gpus:3} GPUs  {value:12,.0f} tokens/$")
