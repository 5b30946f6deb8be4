"""What each serving engine reads and writes, one module for each format.

Placements: `sglang`, `vllm`, `ascend` (vllm-ascend), `trtllm` (TensorRT-LLM) and `deepseek`.
Recorded loads: `sglang_recorder`, `vllm_stats`, `trtllm_statistics`. A module's docstring
describes the format and where it comes from. `runtime` has the rules that engines share, and
`validate` what each of them refuses when it starts; a placement is validated before it is
written. A new format is a module here and a row in the tables of `io.read` or `io.write`.
"""
