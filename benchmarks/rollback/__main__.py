from benchmarks.rollback.run import main

main()
