SECRET_KEY = "not a secret: this is a test"
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "hello_django.urls"
MIDDLEWARE = []
INSTALLED_APPS = []
WSGI_APPLICATION = "hello_django.wsgi.application"
