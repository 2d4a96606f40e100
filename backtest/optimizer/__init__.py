"""Finds a configuration that beats the default on past periods, or says that none does.

`space.py` says what may be varied, `evaluate.py` what a configuration is judged by, `objective.py` how, `search.py`
looks for the best with Optuna, walking forward in time, `compute.py` says where the evaluations run, and `decision.py`
turns what was found into an answer.
"""
