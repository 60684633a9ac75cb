"""What is asked of whole studies: scores of forecasts and of their peers, correlations, and the page of a study.

A wing of its own: the everyday product (estimate, retrain, compare, life, ledger, their reports) imports none of it.
"""
