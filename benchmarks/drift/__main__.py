from benchmarks.drift.run import main

main()
