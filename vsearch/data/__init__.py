"""The catalog: where items come from, how photos are read, and how they are split."""
