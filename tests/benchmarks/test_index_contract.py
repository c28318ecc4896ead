from benchmarks.index_contract import table

REPORT = """<testsuites><testsuite>
<testcase name="test_a_b[faiss-flat-1]"/>
<testcase name="test_a_b[faiss-flat-2]"><failure/></testcase>
<testcase name="test_a_b[pgvector-hnsw-1]"/>
<testcase name="test_a_b[pgvector-1]"><error/></testcase>
<testcase name="test_c[milvus-lite]"/><testcase name="test_c[milvus]"><skipped/></testcase>
</testsuite></testsuites>"""


def test_the_table_counts_what_passed_of_what_ran(tmp_path):
    (tmp_path / "report.xml").write_text(REPORT)
    assert table(tmp_path / "report.xml")[2:] == [
        "| a b | 1 of 2 | - | - | 0 of 1 | yes | - | - |",
        "| c | - | - | - | - | - | yes | - |",
        "| **all** | 1 of 2 | 0 of 0 | 0 of 0 | 0 of 1 | 1 of 1 | 1 of 1 | 0 of 0 |",
    ]
