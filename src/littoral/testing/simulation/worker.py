"""A process that runs simulations: an order on each line of its input, an answer on each of its output. See processes.py."""

import sys
from pathlib import Path

from littoral.testing.simulation.extension import load_extension
from littoral.testing.simulation.orders import Answer, Order, answer_to_line, order_of_line
from littoral.testing.simulation.run import simulate


def do(order: Order) -> Answer:
    """Run what is ordered."""
    outcome, history = simulate(order.plan, whole=order.whole, record=order.record)
    return Answer(outcome, history if order.record else None)


def main() -> None:
    """Until the input ends. The arguments are extensions."""
    for file in sys.argv[1:]:
        load_extension(Path(file))
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(answer_to_line(do(order_of_line(line))))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
