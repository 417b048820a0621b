"""`python -m benchmarks.alarms`"""

from benchmarks.alarms.run import main

main()
