"""What each serving engine reads and writes, one module for each format.

Placements: `sglang`, `vllm`, `vllm_hcu` (maps of several models), `vllm_ranks`, `ascend`
(vllm-ascend), `omni` (OmniPlacement), `trtllm` (TensorRT-LLM) and `deepseek`. Recorded loads:
`sglang_recorder`, `vllm_stats`, `vllm_loads`, `lmdeploy`, `adrs` and `trtllm_statistics`. A
module's docstring describes the format and where it comes from. `runtime` has the rules that
engines share, `models` finds one model in a file of several, and `validate` says what each engine
refuses when it starts; a placement is validated before it is written. A new format is a module
here and a row in the tables of `io.read` or `io.write`.
"""
