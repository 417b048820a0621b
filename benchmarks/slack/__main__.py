from benchmarks.slack.run import main

main()
