"""The programs: run, calibrate, train, evaluate, report. Run from a checkout with `python -m`; in no wheel."""
