"""Checks a launch line before it waits in a queue: is it allowed, does it fit, and what would be faster?"""

import meshwright as mw

JOB = {"gpus": 32, "global_batch": 256, "seq_len": 8192, "framework": "megatron-core"}
LAUNCH = "tp=8 pp=4 micro_batch=1 recompute=full"

try:
    checked = mw.evaluate("llama-3-70b", "dgx-h100", plan=LAUNCH, **JOB)
except mw.errors.InputError as error:
    raise SystemExit("\n".join(error.problems)) from None

for violation in checked.violations:
    print("not allowed:", violation)
print(f"{checked.plan.step_time_s:.2f} s a step, fits: {checked.plan.fits}, limited by {checked.plan.binds}")

explained = mw.explain("llama-3-70b", "dgx-h100", plan=LAUNCH, **JOB)
for change in explained.changes:
    if change.fits and change.delta_s < 0:
        print(f"{-change.delta_s:6.2f} s faster: {change.change}")
