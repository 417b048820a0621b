from benchmarks.conversation.run import main

main()
