from benchmarks.journal.run import main

main()
