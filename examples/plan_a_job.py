"""Plans one job, prints the ranking, and keeps the answer as JSON."""

from pathlib import Path

import meshwright as mw

answer = mw.plan("llama-3-8b", "dgx-h100", gpus=16, global_batch=128, seq_len=8192, framework="megatron-core")
for plan in answer.plans:
    print(f"{plan.rank:2}  {plan.step_time_s:6.3f} s  {plan.mfu:.1%} MFU  {plan.text}")

Path("plan.json").write_text(answer.to_json(), encoding="utf-8")
print("the same:", mw.PlanSet.from_json(Path("plan.json").read_bytes()) == answer)
