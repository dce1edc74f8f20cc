"""Off-policy evaluation: what another policy or ranker would have earned, from a log of what this one did.

`rounds` is what estimators work on, one file each estimator family makes `estimate.Estimate`s of them; `decisions` and
`rankers` make rounds of the decision log, `generic_log` of anybody's; `report` tells which target is better.
"""
