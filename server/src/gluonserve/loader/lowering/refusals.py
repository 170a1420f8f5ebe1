"""Operators that no lowering will serve, each kind with its reason."""

from __future__ import annotations

from gluonserve.loader.lowering.table import OpTable

OPS = OpTable()

OPS.refuses(
    "Custom",
    "_CachedOp",
    "_CachedOpThreadSafe",
    "_CustomFunction",
    "_NDArray",
    "_Native",
    reason="it runs Python code that an export does not hold",
)

OPS.refuses(
    *"""
    _npi_bernoulli _npi_choice _npi_exponential _npi_gamma _npi_gumbel _npi_logistic
    _npi_multinomial _npi_normal _npi_normal_n _npi_pareto _npi_rayleigh _npi_uniform
    _npi_uniform_n _npi_weibull _npi_powerd
    _random_exponential _random_exponential_like _random_gamma _random_gamma_like
    _random_generalized_negative_binomial _random_generalized_negative_binomial_like
    _random_negative_binomial _random_negative_binomial_like _random_normal _random_normal_like
    _random_poisson _random_poisson_like _random_randint _random_uniform _random_uniform_like
    _sample_exponential _sample_gamma _sample_generalized_negative_binomial _sample_multinomial
    _sample_negative_binomial _sample_normal _sample_poisson _sample_uniform
    _sample_unique_zipfian _shuffle
    """.split(),
    reason="it draws random numbers, so no two answers are alike",
)

OPS.refuses(
    *"""
    _adamw_update _contrib_group_adagrad_update _mp_adamw_update _multi_adamw_update
    _multi_lamb_update _multi_mp_adamw_update _multi_mp_lamb_update _sparse_adagrad_update
    adam_update ftml_update ftrl_update lamb_update_phase1 lamb_update_phase2
    mp_lamb_update_phase1 mp_lamb_update_phase2 mp_nag_mom_update mp_sgd_mom_update mp_sgd_update
    multi_lars multi_mp_sgd_mom_update multi_mp_sgd_update multi_sgd_mom_update multi_sgd_update
    nag_mom_update preloaded_multi_mp_sgd_mom_update preloaded_multi_mp_sgd_update
    preloaded_multi_sgd_mom_update preloaded_multi_sgd_update rmsprop_update rmspropalex_update
    sgd_mom_update sgd_update signsgd_update signum_update
    _contrib_calibrate_entropy _contrib_MultiBoxTarget
    """.split(),
    reason="it trains a network or calibrates one, and has no place where one answers",
)

OPS.refuses(
    *"""
    _contrib_dgl_adjacency _contrib_dgl_csr_neighbor_non_uniform_sample
    _contrib_dgl_csr_neighbor_uniform_sample _contrib_dgl_graph_compact _contrib_dgl_subgraph
    _contrib_edge_id _contrib_getnnz _sparse_retain
    """.split(),
    reason="it works on sparse tensors, and ONNX has dense ones",
)
