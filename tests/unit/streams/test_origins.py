from littoral.store.transaction import Transaction
from littoral.streams.origins import Origins
from littoral.testing.loop import run
from tests.support.stores import SimStore, name


def test_the_streams_of_an_origin_are_known_from_the_start_and_as_they_come_and_go():
    async def main() -> None:
        async def make(*names: str) -> None:
            def job(tx: Transaction) -> None:
                for each in names:
                    tx.open_stream(name(each))

            await store.submit(job)

        store = SimStore("cloud").open()
        await make("plant-a/b", "plant-b/x")
        origins = Origins(store)
        await make("plant-a/a")
        assert origins.streams_of("plant-a") == [name("plant-a/a"), name("plant-a/b")]
        await store.submit(lambda tx: tx.delete_stream(name("plant-b/x")))
        assert origins.streams_of("plant-b") == []
        assert origins.streams_of("nobody") == []

    run(main)
