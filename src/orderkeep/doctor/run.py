"""Taking all looks at once, and judging what they saw."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from orderkeep.errors import OrderkeepError
from orderkeep.settings import Settings
from orderkeep.settings_masked import mask_url

from .check import Check, Sight, Verdict
from .checks import CHECKS
from .report import Finding, Report


async def examine(settings: Settings, checks: Sequence[Check[Any]] = CHECKS) -> Report:
    """Run every check that the settings ask for, side by side. Raises nothing: what fails is a finding."""
    begun = time.perf_counter()
    sight = Sight(settings)
    asked = [check for check in checks if check.when(settings)]
    found = await asyncio.gather(*(_findings(check, sight) for check in asked))
    return Report([finding for findings in found for finding in findings], time.perf_counter() - begun)


async def _findings(check: Check[Any], sight: Sight) -> list[Finding]:
    verdicts = await _verdicts(check, sight)
    return [Finding(check.name, one.severity, mask_url(one.what), one.remedy) for one in verdicts]


async def _verdicts(check: Check[Any], sight: Sight) -> Sequence[Verdict]:
    try:
        verdict = check.judge(sight.settings, await sight.see(check.look))
    except OrderkeepError as problem:
        if not check.opens:
            return [Verdict("skipped", f"not looked at: {problem}")]
        return [Verdict(check.severity, str(problem), check.opens)]
    except Exception as problem:  # noqa: BLE001 - a mistake in one check costs the report no other
        return [Verdict("error", f"the check itself failed: {type(problem).__name__}: {problem}")]
    return [verdict] if isinstance(verdict, Verdict) else verdict
