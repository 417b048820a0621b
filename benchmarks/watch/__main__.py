from benchmarks.watch.run import main

main()
