from benchmarks.estimation.run import main

main()
