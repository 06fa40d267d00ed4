"""How fast refscore is beside PyTorch and JAX: the same numbers, to the same precision, on the same cores.

    python -m benchmarks                    all rows, and one table at the end
    python -m benchmarks -k "P1 or P8"      some of them; any option of pytest
    pytest benchmarks -p benchmark          the same through pytest (the ordinary tests run with pytest-benchmark off)

``pip install -e .[benchmark]`` brings pytest-benchmark, PyTorch and JAX; a library that is missing is left out.

A row computes one thing in every library, each at its best: PyTorch without gradient tracking where none are needed, with
``torch.func`` where derivatives are taken, eager and compiled; JAX compiled. Before anything is timed their results are
compared. All run on `_row.THREADS` threads, in turns (a machine is never quiet for long), and the least time counts. Rows
whose work is mostly matrix products also say which part of the rate of a large product (NumPy's, same dtype, measured in the
same turns) they reach, all their floating-point operations in products counted by formula.

NumPy multiplies matrices with OpenBLAS, which picks its kernels by processor. Where it does not know a processor it falls
back to AVX2; on one that has AVX-512, ``OPENBLAS_CORETYPE=SkylakeX`` in the environment can then double its rate. The table
says which kernels were used.
"""
