from benchmarks.audit.run import main

main()
